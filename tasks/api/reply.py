"""What came back from the API: a `Reply`, or `NoReply` when nothing usable did."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator


def _text(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _objects(value: Any) -> list[Any]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


LenientText = Annotated[str | None, BeforeValidator(_text)]
StrictText = Annotated[str | None, AfterValidator(_text)]


class Detail(BaseModel):
    """One entry of an error body's `details`."""

    property: LenientText = None
    code: LenientText = None


class Body(BaseModel):
    """Every field of any documented body that a decision uses.

    The API page warns that the product changes without notice: unknown fields are ignored, `message` is never read,
    and a field of the wrong type counts as absent. `reference` and `state` are strict, because they tell which group
    is closed: where one has the wrong type or stands twice, somebody else wrote the body, and there is none.
    """

    reference: StrictText = None
    state: StrictText = None
    code: LenientText = None
    correlation_id: LenientText = None
    details: Annotated[list[Detail], BeforeValidator(_objects)] = []


class Failure(StrEnum):
    """Why there was no usable reply; OWN: for a fault of this process or its machine, which says nothing of the API."""

    TIMEOUT = "timeout"
    CONNECT = "connect_failed"
    CUT = "connection_cut"
    PROTOCOL = "not_http"
    TOO_LARGE = "reply_too_large"
    OWN = "own_fault"


@dataclass(frozen=True, slots=True)
class NoReply:
    """Nothing came back, or nothing that HTTP allows; whether the call took effect is unknown.

    `retry_after_s` is None unless headers came, and this one was among them; `status` is what came before them.
    """

    failure: Failure
    detail: str = ""
    retry_after_s: float | None = None
    status: int | None = None

    def __str__(self) -> str:
        return self.failure.value


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply. `body` is None unless `parse_body` could read it; `retry_after_s` is None without that header."""

    status: int
    body: Body | None = None
    retry_after_s: float | None = None

    @property
    def code(self) -> str | None:
        """The error code of the body."""
        return self.body.code if self.body else None

    @property
    def child_codes(self) -> frozenset[str]:
        """The codes of the body's `details`."""
        return frozenset(detail.code for detail in self.body.details if detail.code) if self.body else frozenset()

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f" {self.code}" if self.code else "")


def parse_body(content: bytes) -> Body | None:
    """The body, or None when it is not a JSON object, or one that `Body` refuses; never raises.

    JSON is UTF-8. One that begins with a byte order mark is read all the same, as is UTF-16 or UTF-32; where bytes are
    in another encoding they count as unreadable characters, which no field that is used has.
    """
    with suppress(ValueError):
        return _validated(content)
    with suppress(ValueError):
        return _validated(content.decode(json.detect_encoding(content), "replace"))
    return None


def _validated(content: bytes | str) -> Body | None:
    body = Body.model_validate_json(content)
    return body if body.reference is None or _is_plain(content) else None


def _is_plain(content: bytes | str) -> bool:
    """Whether the object says only once which group it is about, and in what state; readers differ over doubles."""
    names = [name for name, _ in json.loads(content, object_pairs_hook=list)]
    return all(names.count(field) <= 1 for field in ("reference", "state", "code"))
