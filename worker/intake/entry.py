"""Reads one entry of the stream: turns its fields into events and rejections."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace

from tasks.events import batch
from tasks.events.batch import Element
from tasks.events.binary_mode import structured
from tasks.events.event import Rejection
from tasks.events.event_type import EventTypes
from tasks.events.strict_json import fields as named

FIELD = b"event"
_ATTRIBUTE, _DATA = b"ce_", b"data"

Fields = Mapping[bytes, bytes]


def read(entry_id: str, fields: Fields | None, *, stream: str, types: EventTypes) -> list[Element]:
    """Return what an entry holds, which is at least one element. Never raises.

    `entry_id`: the entry's id, which identifies an event that has no id of its own. `fields`: None when the entry was
    deleted. `stream`: its name, which is the source of an event that names none. `types`: those that mean complete.

    An entry has one of two forms. Its field `event` holds JSON: one event or an array of them. Or the entry is a
    CloudEvent in binary mode (CloudEvents 1.0), with the fields `ce_id`, `ce_source`, `ce_type`, … and `data`. Without
    `data` all its other fields are the data, because a field such as `payload` may name another group than the subject.
    An entry with `event` and `data` is of neither form, because each of the two may name a group.
    """
    fields = fields or {}
    binary = any(name.startswith(_ATTRIBUTE) for name in fields)
    if binary == (FIELD in fields):
        return [Element(_readable(fields), entry_id, Rejection((_problem(fields, both=binary),)))]
    body = _structured(fields) if binary else fields[FIELD]
    elements = batch.read(body, source=stream, event_id=entry_id, types=types)
    if binary:
        return elements
    if (data := _data_beside(fields)) and not all(isinstance(one.event, Rejection) for one in elements):
        return [Element(_readable(fields), entry_id, Rejection((_two_forms(data),)))]
    return elements if len(elements) > 1 else [_with_fields_beside(elements[0], fields)]


def _data_beside(fields: Fields) -> list[str]:
    return [_text(name) for name in fields if name.lower() in (_DATA, _DATA + b"_base64")]


def _two_forms(data: list[str]) -> str:
    return (
        f"event: beside it the entry has {named(data)}, which may name another group; an entry has either event, with "
        "all of the event, or ce_id, ce_source, … and data"
    )


def _with_fields_beside(element: Element, fields: Fields) -> Element:
    """Name the fields beside `event` in its rejection, and keep them with it: one of them may name the group.

    An event that an operator can replay as it is, by its type or its subject, keeps its own bytes.
    """
    beside = [_text(name) for name in fields if name != FIELD]
    if not beside or not isinstance(element.event, Rejection):
        return element
    found = f"event: beside it the entry has {named(beside)}; closer reads no field beside it"
    rejection = replace(element.event, problems=(*element.event.problems, found))
    replayable = rejection.refused_type is not None or rejection.subject_unused
    return Element(element.body if replayable else _readable(fields), element.identity, rejection)


def _structured(fields: Fields) -> bytes:
    attributes = {
        _text(name.removeprefix(_ATTRIBUTE)): value.decode("utf-8", "surrogateescape")
        for name, value in fields.items()
        if name.startswith(_ATTRIBUTE)
    }
    return structured(attributes, fields.get(_DATA) or _others(fields))


def _others(fields: Fields) -> bytes:
    """Return the fields that are neither attributes nor `data` as a JSON object. Empty when there are none."""
    others = {name: value for name, value in fields.items() if name != _DATA and not name.startswith(_ATTRIBUTE)}
    return _readable(others) if others else b""


def _problem(fields: Fields, *, both: bool) -> str:
    if both:
        return "event: the entry has this field and fields ce_… of another event; only one of the two may be"
    found = named([_text(name) for name in fields])
    return f"event: the entry has no field of this name; it has {found}; accepted are event, or ce_id, ce_source, …"


def _readable(fields: Fields) -> bytes:
    return json.dumps({_text(name): _text(value) for name, value in fields.items()}).encode()


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")
