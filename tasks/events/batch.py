"""Reads bytes that hold one event, or a JSON array of events.

Each event of an array has an identity of its own, so one that is wrong does not stop the others.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

from tasks.events.event import Event, Rejection, parse
from tasks.events.event_type import EventTypes
from tasks.events.strict_json import BOM, wrong

MAX_BATCH_BYTES = 1024 * 1024
MAX_BATCH_EVENTS = 1000
_ARRAY = re.compile(rb"(?:\xef\xbb\xbf)?[ \t\n\r]*\[")
_BLANKS = re.compile(r"[ \t\n\r]*")
# It only finds where an element ends. `parse` then reads the element, more strictly.
_DECODER = json.JSONDecoder(parse_int=str, parse_float=str)


class TooMany(ValueError):
    """An array has more than MAX_BATCH_BYTES or MAX_BATCH_EVENTS."""


@dataclass(frozen=True, slots=True)
class Element:
    """One event of the bytes.

    `body`: its bytes, as they came. `identity`: the id that its place gives it. `event`: what was read from it.
    """

    body: bytes
    identity: str
    event: Event | Rejection


def read(body: bytes, *, source: str, event_id: str, types: EventTypes, use_subject: bool = False) -> list[Element]:
    """Return one element, or one for each event of an array. There is at least one. It never raises.

    The arguments are those of `tasks.events.event.parse`. The elements of an array are known as `EVENT_ID/0`,
    `EVENT_ID/1` and so on, so the same bytes read twice have the same identities. An array that is too large, or is not
    JSON as a whole, is one rejection, because nobody can tell where its elements end.
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
    """Return whether the bytes begin like a JSON array."""
    return _ARRAY.match(body) is not None


def split(body: bytes) -> list[bytes]:
    """Return the elements of a JSON array, each as its bytes stand there.

    Raises TooMany, and ValueError that says what else is wrong: no element, or not JSON.
    """
    if len(body) > MAX_BATCH_BYTES:
        raise TooMany(f"{len(body)} bytes, the limit is {MAX_BATCH_BYTES}; send smaller batches")
    try:
        return _elements(body.decode("utf-8").removeprefix(BOM))
    except TooMany:
        raise
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
            raise TooMany(f"more than {MAX_BATCH_EVENTS} events; send smaller batches")
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
