"""A "group complete" event: bytes in, a `GroupComplete` or a `Rejection` out."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

MAX_EVENT_BYTES = 64 * 1024
REFERENCE_PATTERN = r"^[A-Za-z0-9_-]{1,128}\Z"
_REFERENCE = re.compile(REFERENCE_PATTERN)
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_ENVELOPE = frozenset({"specversion", "id", "source", "type", "subject", "data"})

Reference = Annotated[str, Field(pattern=REFERENCE_PATTERN)]
# CloudEvents 1.0, "Type System": a String holds no control characters and no lone surrogates.
Text = Annotated[str, Field(min_length=1, max_length=512, pattern=r"^[^\x00-\x1f\x7f-\x9f]+\Z")]


@dataclass(frozen=True, slots=True)
class GroupComplete:
    """A shipment group that its warehouse system has finished. (`source`, `event_id`) identifies the event."""

    reference: str
    source: str
    event_id: str
    custom_reference: str | None = None
    time: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why bytes are no event: one `field: problem` line for each thing that is wrong."""

    problems: tuple[str, ...]

    def __str__(self) -> str:
        return "; ".join(self.problems)


class _Data(BaseModel):
    model_config = ConfigDict(strict=True, regex_engine="python-re")
    reference: Reference | None = None
    custom_reference: Text | None = None


class _CloudEvent(BaseModel):
    """CloudEvents 1.0, JSON format, structured mode: required and used attributes only."""

    model_config = ConfigDict(strict=True, regex_engine="python-re")
    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    subject: str | None = None
    time: Text | None = None
    traceparent: Any = None
    data: Any = None


class _Bare(BaseModel):
    model_config = ConfigDict(strict=True, regex_engine="python-re")
    reference: Reference
    custom_reference: Text | None = None


def parse(body: bytes, *, source: str, event_id: str) -> GroupComplete | Rejection:
    """Read one event; never raises.

    `source` and `event_id` identify a bare `{"reference": …}` event, which carries no identity of its own:
    pass the name of the stream and the entry's id, so that the same entry read twice is the same event.
    """
    if len(body) > MAX_EVENT_BYTES:
        return Rejection((f"event: {len(body)} bytes, the limit is {MAX_EVENT_BYTES}",))
    try:
        document = _load(body)
        if _is_bare(document):
            bare = _Bare.model_validate(document)
            return GroupComplete(bare.reference, source, event_id, bare.custom_reference)
        return _group_complete(_CloudEvent.model_validate(document))
    except ValidationError as error:
        return Rejection(tuple(_problem(detail) for detail in error.errors()))
    except (ValueError, RecursionError) as error:
        return Rejection((f"event: {_not_json(error)}",))


def is_reference(text: object) -> bool:
    """Whether `text` is a safe path segment of the API (1 to 128 characters of `A-Za-z0-9_-`)."""
    return isinstance(text, str) and _REFERENCE.match(text) is not None


def _load(body: bytes) -> dict[str, Any]:
    document = json.loads(body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant)
    if not isinstance(document, dict):
        raise ValueError(f"a JSON object is needed, this is {type(document).__name__}")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated key: with two references in one event nobody can tell which group is meant."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("the same key stands twice in one object")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _is_bare(document: dict[str, Any]) -> bool:
    return "specversion" not in document and ("reference" in document or not _ENVELOPE & document.keys())


def _group_complete(event: _CloudEvent) -> GroupComplete | Rejection:
    data = _Data() if not isinstance(event.data, dict) else _validated_data(event.data)
    if isinstance(data, Rejection):
        return data
    reference = data.reference if data.reference is not None else event.subject
    if not is_reference(reference):
        return Rejection((_which_reference(reference),))
    assert reference is not None
    return GroupComplete(
        reference, event.source, event.id, data.custom_reference, event.time, _trace(event.traceparent)
    )


def _validated_data(data: dict[str, Any]) -> _Data | Rejection:
    try:
        return _Data.model_validate(data)
    except ValidationError as error:
        return Rejection(tuple(f"data.{_problem(detail)}" for detail in error.errors()))


def _which_reference(subject: str | None) -> str:
    if subject is None:
        return "data.reference: missing, and there is no subject either"
    return "subject: names no group, 1 to 128 characters of A-Z a-z 0-9 _ - are needed"


def _trace(traceparent: object) -> str | None:
    """W3C Trace Context 3.2: a traceparent that cannot be parsed is ignored."""
    return traceparent if isinstance(traceparent, str) and _TRACEPARENT.match(traceparent) else None


def _problem(detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "event"
    return f"{where}: {detail['msg']}"


def _not_json(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "a number has too many digits" if "int_max_str_digits" in str(error) else str(error)[:200]
