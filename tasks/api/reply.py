"""Holds what came back from the API as a value: a `Reply`, or a `NoReply` when nothing usable came."""

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
    """One entry of an error body's `details` (API page, errors)."""

    property: LenientText = None
    code: LenientText = None


class Body(BaseModel):
    """The fields of the documented bodies that decisions use.

    The API page warns that the product changes without notice. So unknown fields are ignored, `message` is never read,
    and a field of the wrong type counts as absent. `reference` and `state` are strict, because they tell which group is
    closed: if one of them has the wrong type or stands twice, the body is not the API's, and counts as none.
    """

    reference: StrictText = None
    state: StrictText = None
    code: LenientText = None
    correlation_id: LenientText = None
    details: Annotated[list[Detail], BeforeValidator(_objects)] = []


class Failure(StrEnum):
    """Why there was no usable reply.

    TIMEOUT: the call took too long. CONNECT: there was no connection. CUT: it ended early. PROTOCOL: what came is not
    HTTP. TOO_LARGE: the body is over the limit. OWN: this process or its machine is at fault, which says nothing about
    the API.
    """

    TIMEOUT = "timeout"
    CONNECT = "connect_failed"
    CUT = "connection_cut"
    PROTOCOL = "not_http"
    TOO_LARGE = "reply_too_large"
    OWN = "own_fault"


@dataclass(frozen=True, slots=True)
class NoReply:
    """No reply came, or none that HTTP allows. Whether the call took effect is unknown.

    `detail`: the error, for logs and the history. `retry_after_s` (s) and `status` are set only if they came before the
    failure.
    """

    failure: Failure
    detail: str = ""
    retry_after_s: float | None = None
    status: int | None = None

    def __str__(self) -> str:
        return self.failure.value


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP reply.

    `body`: None if `parse_body` could not read it. `retry_after_s`: the seconds that the header `Retry-After` asks to
    wait, None without that header.
    """

    status: int
    body: Body | None = None
    retry_after_s: float | None = None

    @property
    def code(self) -> str | None:
        """The error code of the body, None if it has none."""
        return self.body.code if self.body else None

    @property
    def child_codes(self) -> frozenset[str]:
        """The error codes in the body's `details`."""
        return frozenset(detail.code for detail in self.body.details if detail.code) if self.body else frozenset()

    def __str__(self) -> str:
        return f"HTTP {self.status}" + (f" {self.code}" if self.code else "")


def parse_body(content: bytes) -> Body | None:
    """Return the body as a value; None when it is not a JSON object, or not one that `Body` accepts. It never raises.

    JSON is UTF-8, with or without a byte order mark; UTF-16 and UTF-32 are read, too. Bytes in another encoding become
    replacement characters, which none of the fields that are used contains.
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
    """Return whether `reference`, `state` and `code` stand at most once each in the object.

    Readers of JSON differ over which of two counts, so a body with doubles is not trusted.
    """
    names = [name for name, _ in json.loads(content, object_pairs_hook=list)]
    return all(names.count(field) <= 1 for field in ("reference", "state", "code"))
