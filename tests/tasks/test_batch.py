"""Arrays of events: each element is an event or a rejection with an identity of its own."""

from __future__ import annotations

import json

import pytest

from tasks.events.batch import MAX_BATCH_BYTES, MAX_BATCH_EVENTS, Element, read, split
from tasks.events.event import MAX_EVENT_BYTES, GroupComplete, Rejection
from tasks.events.event_type import EventTypes


def elements(body: bytes) -> list[Element]:
    """What an entry's bytes hold."""
    return read(body, source="stream", event_id="1-0", types=EventTypes())


def test_each_element_is_an_event_or_a_rejection_of_its_own() -> None:
    """Each is known by the entry and its place; a rejected one keeps its bytes, and does not stop the others."""
    cloud = {"specversion": "1.0", "id": "e1", "source": "/w", "type": "group.complete", "data": {"reference": "sg_2"}}
    texts = ['{"reference":"sg_1"}', json.dumps(cloud), '{"reference": "a b",  "x":[1, 2]}', "7", '[{"reference":"a"}]',
             '{"reference":"x","reference":"y"}', '{"reference":"ü]\\",["}', "NaN", '{"reference":"sg_3"}']  # fmt: skip
    found = elements(f" [\n{' ,'.join(texts)}\t]\r\n".encode())
    assert [element.body.decode() for element in found] == texts
    assert [element.identity for element in found] == [f"1-0/{index}" for index in range(len(texts))]
    events = [element.event for element in found if isinstance(element.event, GroupComplete)]
    assert events == [
        GroupComplete("sg_1", "stream", "1-0/0"),
        GroupComplete("sg_2", "/w", "e1"),
        GroupComplete("sg_3", "stream", "1-0/8"),
    ]


def test_what_is_not_an_array_is_one_event() -> None:
    """A single event keeps the entry's own identity."""
    assert elements(b' {"reference":"sg_1"}')[0].event == GroupComplete("sg_1", "stream", "1-0")
    [element] = elements(b"no json")
    assert (element.identity, element.body) == ("1-0", b"no json")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"[]", "batch: an array without any event"),
        (b" [ ] ", "batch: an array without any event"),
        (b"[", "batch: not JSON: Expecting value at character 1"),
        (b'[{"reference":"sg_1"}', "batch: not JSON: Expecting ',' or ']' at character 21"),
        (b'[{"reference":"sg_1"},]', "batch: not JSON: Expecting value at character 22"),
        (b'[{"reference":"sg_1"} {"reference":"sg_2"}]', "batch: not JSON: Expecting ',' or ']' at character 22"),
        (b'[{"reference":"sg_1"}] x', "batch: not JSON: Extra data at character 23"),
        (b'[{"reference":"sg_1"}][{"reference":"sg_2"}]', "batch: not JSON: Extra data at character 22"),
        (b'["\xff"]', "batch: not UTF-8 at byte 2"),
        (b"[" * 100_000, "batch: nested too deeply"),
    ],
)
def test_a_broken_array_is_one_rejection(body: bytes, words: str) -> None:
    """Nobody can tell where its events end, so none of them is received, and all its bytes are kept."""
    [element] = elements(body)
    assert (element.identity, element.body) == ("1-0", body)
    assert isinstance(element.event, Rejection)
    assert str(element.event) == words


def test_a_large_element_is_rejected_alone() -> None:
    """An element has the limit of any event, 64 KiB; the others are received."""
    large = b'{"reference":"sg_1","x":"' + b"x" * MAX_EVENT_BYTES + b'"}'
    first, second = elements(b"[" + large + b',{"reference":"sg_2"}]')
    assert (first.body, isinstance(first.event, Rejection)) == (large, True)
    assert second.event == GroupComplete("sg_2", "stream", "1-0/1")


def test_a_large_batch_is_rejected_as_a_whole() -> None:
    """A batch over a mebibyte, or with over a thousand events, is rejected, and the reason tells the limit."""
    event = b'{"reference":"sg_1"}'
    most = b"[" + b",".join([event] * MAX_BATCH_EVENTS) + b"]"
    assert len(elements(most)) == MAX_BATCH_EVENTS
    [over] = elements(b"[" + event + b"," + most[1:])
    assert str(over.event) == "batch: more than 1000 events; send smaller batches"
    filled = most + b" " * (MAX_BATCH_BYTES - len(most))
    assert len(elements(filled)) == MAX_BATCH_EVENTS
    [over] = elements(filled + b" ")
    assert (
        str(over.event) == f"batch: {MAX_BATCH_BYTES + 1} bytes, the limit is {MAX_BATCH_BYTES}; send smaller batches"
    )
    assert over.body == filled + b" "


def test_huge_numbers_do_not_hinder_the_others() -> None:
    """An element with a number that Python does not read is rejected alone."""
    first, second = elements(b'[{"x":' + b"9" * 5000 + b'},{"reference":"sg_2"}]')
    assert str(first.event) == "event: a number has too many digits"
    assert isinstance(second.event, GroupComplete)
    assert len(split(b"[1e999,2]")) == 2
