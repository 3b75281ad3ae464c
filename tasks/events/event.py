"""Reads one event: bytes come in, a `GroupComplete`, a `GroupCancelled` or a `Rejection` goes out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError

from tasks.events.data import (
    REFERENCE_PATTERN,
    REFERENCE_SHAPE,
    Named,
    Reference,
    Text,
    Unnamed,
    elsewhere,
    group_named,
    in_words,
    misplaced,
    problem,
)  # fmt: skip
from tasks.events.event_type import EventTypes
from tasks.events.not_before import WithNotBefore, later, time_of
from tasks.events.strict_json import fields, found, load
from tasks.events.values import GroupCancelled, GroupComplete, Rejection

__all__ = ["Event", "GroupCancelled", "GroupComplete", "Rejection", "is_reference", "parse"]

Event = GroupComplete | GroupCancelled

MAX_EVENT_BYTES = 64 * 1024
_REFERENCE = re.compile(REFERENCE_PATTERN)
_TRACEPARENT = re.compile(r"^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
_CLOUD_EVENTS_ONLY = frozenset({"specversion", "subject", "data", "data_base64"})
_BARE_TYPES = ("event", "event_type", "eventType")
_BARE_NAMES = frozenset(
    {"reference", "custom_reference", "id", "source", "type", *_BARE_TYPES, *WithNotBefore.model_fields}
)
_TEXT: TypeAdapter[str] = TypeAdapter(Text, config=ConfigDict(strict=True, regex_engine="python-re"))


class _CloudEvent(WithNotBefore):
    """The required and used attributes of CloudEvents 1.0, JSON format, structured mode. Others are ignored."""

    model_config = ConfigDict(strict=True, regex_engine="python-re")
    specversion: Literal["1.0"]
    id: Text
    source: Text
    type: Text
    subject: str | None = None
    time: Text | None = None
    traceparent: Any = None
    data: Any = None
    data_base64: Any = None
    reference: Any = None  # an extension attribute; it must not name another group than the data


class _Bare(WithNotBefore):
    model_config = ConfigDict(strict=True, regex_engine="python-re")
    reference: Reference
    custom_reference: Text | None = None


class _Identified(_Bare):
    id: Text
    source: Text


def parse(
    body: bytes, *, source: str, event_id: str, types: EventTypes, use_subject: bool = False
) -> Event | Rejection:
    """Read one event. It never raises.

    `source`, `event_id`: the identity of a bare `{"reference": …}` event that does not bring both itself. Pass the
    stream's name and the entry's id, so that the same entry read twice is the same event. `types`: the types that say
    that a group is complete, and those that cancel. `use_subject`: take the subject for the reference where the data
    have none; only an operator may ask for that.
    """
    if len(body) > MAX_EVENT_BYTES:
        return Rejection((f"event: {len(body)} bytes, the limit is {MAX_EVENT_BYTES}",))
    try:
        document = _load(body)
    except ValueError as error:
        return Rejection((f"event: {error}",))
    if _is_bare(document):
        return _bare(document, source, event_id, types)
    return _cloud_event(document, types, use_subject=use_subject)


def _cloud_event(document: dict[str, Any], types: EventTypes, *, use_subject: bool) -> Event | Rejection:
    try:
        event = _CloudEvent.model_validate(document)
    except ValidationError as error:
        return Rejection(tuple(_wrong_attributes(error, document)))
    return _event(event, document, types, use_subject=use_subject)


def _wrong_attributes(error: ValidationError, document: dict[str, Any]) -> Iterator[str]:
    """Yield a line for each wrong attribute of a CloudEvent. The first that is missing tells which fields there are."""
    there = f"; the event has {fields(document)}"
    for detail in error.errors():
        missing = detail["type"] == "missing"
        yield problem(detail) + (there if missing else "")
        there = "" if missing else there


def is_reference(text: object) -> bool:
    """Return whether `text` is a safe path segment of the API: 1 to 128 characters of `A-Z a-z 0-9 _ -`."""
    return isinstance(text, str) and _REFERENCE.match(text) is not None


def _load(body: bytes) -> dict[str, Any]:
    document = load(body)
    if not isinstance(document, dict):
        raise ValueError(f"a JSON object is needed, this is {found(document)}")
    return document


def _is_bare(document: dict[str, Any]) -> bool:
    return "specversion" not in document and ("reference" in document or not _CLOUD_EVENTS_ONLY & document.keys())


def _bare(document: dict[str, Any], source: str, event_id: str, types: EventTypes) -> Event | Rejection:
    """Read an event without an envelope.

    It needs both `id` and `source` to have an identity of its own, because neither is unique without the other.
    """
    if document.get("reference") is None:
        return Rejection((_no_reference(document),))
    named = {"id", "source"} <= document.keys()
    told = _told_types(document, named=named)
    problems, refused = _type_problems(told, types)
    try:
        known = (_Identified if named else _Bare).model_validate(document)
    except ValidationError as error:
        return Rejection((*(problem(detail) for detail in error.errors()), *problems), refused)
    if problems:
        return Rejection(tuple(problems), refused)
    if isinstance(known, _Identified):
        source, event_id = known.source, known.id
    time_ms = time_of(document.get("time")) if named and types.cancelling else None
    if cancels := next((one for one in told.values() if types.cancels(one)), None):
        return GroupCancelled(known.reference, source, event_id, time_ms, cancels)
    return GroupComplete(
        known.reference, source, event_id, known.custom_reference, type=next(iter(told.values()), None),
        not_before_ms=known.not_before_ms, time_ms=time_ms,
    )  # fmt: skip


def _no_reference(document: dict[str, Any]) -> str:
    """Return why an event without an envelope names no group, with the names that its sender may have misspelt."""
    unknown = [name for name in document if name not in _BARE_NAMES]
    not_known = f"; closer does not know {fields(unknown)}" if unknown else ""
    missing = "null" if "reference" in document else "missing"
    return f'reference: {missing}; the event has {fields(document)}{not_known}; accepted is {{"reference": "sg_1"}}'


def _told_types(document: dict[str, Any], *, named: bool) -> dict[str, Any]:
    """Return the fields of a bare event that tell its type.

    `type` counts only in an event with an identity of its own; elsewhere it may mean anything.
    """
    names = (*_BARE_TYPES, "type") if named else _BARE_TYPES
    return {name: document[name] for name in names if name in document}


def _type_problems(told: dict[str, Any], types: EventTypes) -> tuple[list[str], str | None]:
    """Return what is wrong with these types, and the first that is refused. Of several, one that cancels decides."""
    problems, refused = [], None
    cancels = any(isinstance(value, str) and types.cancels(value) for value in told.values())
    for name, value in told.items():
        try:
            event_type = _TEXT.validate_python(value)
        except ValidationError as error:
            problems.append(f"type: the field {name} is wrong: {in_words(error.errors()[0])}")
            continue
        if not (cancels or types.accept(event_type)):
            problems.append(types.problem(event_type))
            refused = refused or event_type
    return problems, refused


def _event(event: _CloudEvent, document: dict[str, Any], types: EventTypes, *, use_subject: bool) -> Event | Rejection:
    group = _group(event, document, use_subject=use_subject)
    accepted = types.takes(event.type)
    problems: tuple[str, ...] = () if accepted else (types.problem(event.type),)
    time_ms = time_of(event.time) if types.cancelling else None
    if isinstance(group, Named) and types.cancels(event.type):
        return GroupCancelled(group.reference, event.source, event.id, time_ms, event.type)
    if isinstance(group, Named) and accepted:
        return GroupComplete(
            group.reference, event.source, event.id, group.custom_reference, event.time, _trace(event.traceparent),
            event.type, later(event.not_before_ms, group.not_before_ms), time_ms,
        )  # fmt: skip
    problems += group.problems if isinstance(group, Unnamed) else ()
    return Rejection(problems, None if accepted else event.type)


def _group(event: _CloudEvent, document: dict[str, Any], *, use_subject: bool) -> Named | Unnamed:
    """Return the group that the event names.

    Its data name it. The subject counts only if there are no data, or if an operator asked for it and the data name
    none.
    """
    group = _by_data(event, document)
    if group is None:
        group = _by_subject(event.subject, document)
    elif isinstance(group, Unnamed) and group.silent and event.subject is not None:
        group = _by_subject(event.subject, document) if use_subject else Unnamed((*group.problems, *_unused(event)))
    if isinstance(group, Named) and event.reference not in (None, group.reference):
        return Unnamed(("reference: this attribute names another group than the event itself",))
    return group


def _by_data(event: _CloudEvent, document: dict[str, Any]) -> Named | Unnamed | None:
    """Return what the data say, in whatever field they stand; None if there are no data."""
    if event.data is not None or event.data_base64 is not None:
        return group_named(event.data, event.data_base64)
    names = elsewhere(document)
    return misplaced(names) if names else None


def _by_subject(subject: str | None, document: dict[str, Any]) -> Named | Unnamed:
    if subject is not None and is_reference(subject):
        return Named(subject)
    if subject is None:
        missing = "data.reference: missing, and there is no subject either"
        return Unnamed((f"{missing}; the event has {fields(document)}",))
    return Unnamed((f"subject: names no group, {REFERENCE_SHAPE} are needed",))


def _unused(event: _CloudEvent) -> Iterator[str]:
    subject = str(event.subject)[:128]
    yield f'subject: "{subject}" is not used, because there are data; an operator can replay it by its subject'


def _trace(traceparent: object) -> str | None:
    """Return the traceparent; None for one that cannot be parsed, which is ignored (W3C Trace Context, 3.2)."""
    return traceparent if isinstance(traceparent, str) and _TRACEPARENT.match(traceparent) else None
