"""Bytes that hold one event, or a JSON array of events: each is an event or a rejection with an identity of its own."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tasks.events.event import GroupComplete, Rejection, parse
from tasks.events.event_type import EventTypes
from tasks.events.strict_json import wrong

MAX_BATCH_BYTES = 1024 * 1024
MAX_BATCH_EVENTS = 1000
_ARRAY = re.compile(rb"[ \t\n\r]*\[")
_BLANKS = re.compile(r"[ \t\n\r]*")
# Finds where an element ends; what it is `parse` decides, more strictly.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


@dataclass(frozen=True, slots=True)
class Element:
    """One event's bytes, as they came, the identity that its place gives it, and what they are."""

    body: bytes
    identity: str
    event: GroupComplete | Rejection


def read(body: bytes, *, source: str, event_id: str, types: EventTypes, use_subject: bool = False) -> list[Element]:
    """Read one event, or each of an array; at least one element, and never raises. Arguments as of `parse`.

    An array's elements are known as `EVENT_ID/0`, `EVENT_ID/1`, …, as in a JSON pointer. An array that is too large, or
    not JSON as a whole, is one rejection: nobody can tell where its elements end.
    """

    def element(text: bytes, identity: str) -> Element:
        event = parse(text, source=source, event_id=identity, types=types, use_subject=use_subject)
        return Element(text, identity, event)

    if not is_array(body):
        return [element(body, event_id)]
    try:
        texts = split(body)
    except ValueError as error:
        return [Element(body, event_id, Rejection((f"batch: {error}",)))]
    return [element(text, f"{event_id}/{index}") for index, text in enumerate(texts)]


def is_array(body: bytes) -> bool:
    """Whether the bytes begin as a JSON array does."""
    return _ARRAY.match(body) is not None


def split(body: bytes) -> list[bytes]:
    """The elements of a JSON array, each as it stands there. Raises ValueError that says what is wrong."""
    if len(body) > MAX_BATCH_BYTES:
        raise ValueError(f"{len(body)} bytes, the limit is {MAX_BATCH_BYTES}; send smaller batches")
    try:
        return _elements(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(wrong(error)) from None


def _elements(text: str) -> list[bytes]:
    found: list[bytes] = []
    at = _after_blanks(text, _after_blanks(text, 0) + 1)
    if text[at : at + 1] == "]":
        raise ValueError("an array without any event")
    while True:
        _, end = _DECODER.raw_decode(text, at)
        found.append(text[at:end].encode())
        if len(found) > MAX_BATCH_EVENTS:
            raise ValueError(f"more than {MAX_BATCH_EVENTS} events; send smaller batches")
        at = _after_blanks(text, end)
        if text[at : at + 1] != ",":
            break
        at = _after_blanks(text, at + 1)
    _expect_end(text, at)
    return found


def _expect_end(text: str, at: int) -> None:
    if text[at : at + 1] != "]":
        raise json.JSONDecodeError("Expecting ',' or ']'", text, at)
    end = _after_blanks(text, at + 1)
    if end != len(text):
        raise json.JSONDecodeError("Extra data", text, end)


def _after_blanks(text: str, at: int) -> int:
    match = _BLANKS.match(text, at)
    return match.end() if match else at
