"""Events: what is accepted, what is refused and with which words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.events.event import MAX_EVENT_BYTES, Event, GroupComplete, Rejection, is_reference, parse
from tasks.events.event_type import EventTypes
from tasks.events.strict_json import found

EVENT: dict[str, Any] = {"specversion": "1.0", "id": "e1", "source": "/wms/1", "type": "group.complete"}
TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def read(event: object) -> Event | Rejection:
    """Parse an event given as JSON, text or bytes."""
    body = event if isinstance(event, bytes) else event if isinstance(event, str) else json.dumps(event)
    body = body.encode() if isinstance(body, str) else body
    return parse(body, source="stream", event_id="1-0", types=EventTypes())


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"reference": "sg_1"}, GroupComplete("sg_1", "stream", "1-0")),
        ({"reference": "sg_1", "more": 1}, GroupComplete("sg_1", "stream", "1-0")),
        (
            {"reference": "sg_1", "custom_reference": "Größe 5"},
            GroupComplete("sg_1", "stream", "1-0", "Größe 5"),
        ),
        # "id", "type" and the like also stand in bare events of other programs: "specversion" makes a CloudEvent.
        ({"reference": "sg_1", "id": 7, "type": "x"}, GroupComplete("sg_1", "stream", "1-0")),
        (EVENT | {"data": {"reference": "sg_1"}}, GroupComplete("sg_1", "/wms/1", "e1")),
        (EVENT | {"subject": "sg_1"}, GroupComplete("sg_1", "/wms/1", "e1")),
        (EVENT | {"subject": "sg_1", "data": None}, GroupComplete("sg_1", "/wms/1", "e1")),
        (EVENT | {"subject": "other/1", "data": {"reference": "sg_1"}}, GroupComplete("sg_1", "/wms/1", "e1")),
        (
            EVENT | {"time": "2026-01-01T00:00:00Z", "data": {"reference": "sg_1", "custom_reference": "c"}},
            GroupComplete("sg_1", "/wms/1", "e1", "c", "2026-01-01T00:00:00Z"),
        ),
        (EVENT | {"subject": "sg_1", "traceparent": TRACE}, GroupComplete("sg_1", "/wms/1", "e1", traceparent=TRACE)),
        (EVENT | {"subject": "sg_1", "traceparent": 7}, GroupComplete("sg_1", "/wms/1", "e1")),
        (EVENT | {"subject": "sg_1", "traceparent": TRACE + "\n"}, GroupComplete("sg_1", "/wms/1", "e1")),
    ],
)
def test_accepted(event: object, expected: GroupComplete) -> None:
    """A bare event takes its identity from where it came from, a CloudEvent brings its own."""
    assert read(event) == expected


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({}, "reference:"),
        ({"custom_reference": "c"}, "reference:"),
        ({"reference": None}, "reference:"),
        ({"reference": 7}, "reference:"),
        ({"reference": "a/b"}, "reference:"),
        ({"reference": "sg_1\n"}, "reference:"),
        ({"reference": "é"}, "reference:"),
        ({"reference": ""}, "reference:"),
        ({"reference": "x" * 129}, "reference:"),
        ({"reference": "sg_1", "custom_reference": "\ud800"}, "custom_reference:"),
        ({"reference": "sg_1", "custom_reference": "a\x00"}, "custom_reference:"),
        ({"reference": "sg_1", "custom_reference": "a\n"}, "custom_reference:"),
        ({"reference": "sg_1", "custom_reference": ["a"]}, "custom_reference:"),
        (EVENT, "data.reference:"),
        (EVENT | {"data": []}, "data.reference:"),
        (EVENT | {"data": {}, "subject": "a b"}, "data.reference:"),
        (EVENT | {"subject": "a b"}, "subject:"),
        (EVENT | {"subject": "\ud800"}, "subject:"),
        (EVENT | {"data": {"reference": "a/b"}, "subject": "sg_1"}, "data.reference:"),
        (EVENT | {"data": {"reference": "sg_1", "custom_reference": ""}}, "data.custom_reference:"),
        (EVENT | {"specversion": "0.3", "subject": "sg_1"}, "specversion:"),
        (EVENT | {"specversion": 1.0, "subject": "sg_1"}, "specversion:"),
        (EVENT | {"id": "", "subject": "sg_1"}, "id:"),
        (EVENT | {"id": "x" * 513, "subject": "sg_1"}, "id:"),
        (EVENT | {"id": "\ud800", "subject": "sg_1"}, "id:"),
        (EVENT | {"source": "a\x1b[31m", "subject": "sg_1"}, "source:"),
        (EVENT | {"type": None, "subject": "sg_1"}, "type:"),
        (EVENT | {"time": "\x7f", "subject": "sg_1"}, "time:"),
        ({"id": "1", "source": "s", "type": "t", "subject": "sg_1"}, "specversion:"),
    ],
)
def test_refused_by_field(event: object, field: str) -> None:
    """A rejection names the field that is wrong."""
    rejection = read(event)
    assert isinstance(rejection, Rejection)
    assert [problem for problem in rejection.problems if problem.startswith(field)], rejection


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (b"", "event: not JSON: Expecting value at character 0"),
        (b"\xff", "event: not UTF-8 at byte 0"),
        (b'{"reference":"sg_1"} x', "event: not JSON: Extra data at character 21"),
        ("\ufeff\ufeff{}".encode(), "event: not JSON: Unexpected UTF-8 BOM"),
        (b"[]", "event: a JSON object is needed, this is a list"),
        (b"7", "event: a JSON object is needed, this is a number"),
        (b"NaN", "event: NaN is not JSON"),
        (b'{"reference": -Infinity}', "event: -Infinity is not JSON"),
        (b'{"reference":"a","reference":"b"}', "event: the same key stands twice in one object"),
        (b'{"reference":"a","x":{"y":1,"y":1}}', "event: the same key stands twice in one object"),
        (b'{"x":' + b"[" * 60_000, "event: nested too deeply"),
        (b'{"reference":"sg_1","x":' + b"9" * 5000 + b"}", "event: a number has too many digits"),
    ],
)
def test_refused_as_a_whole(event: bytes, words: str) -> None:
    """Text that is not a JSON object, or is an ambiguous one, is refused with what is wrong and where."""
    assert str(read(event)).startswith(words)


def test_all_problems_at_once() -> None:
    """A rejection holds one line for each wrong field, so that a sender mends all of them at once."""
    rejection = read({"specversion": "1.0", "id": 1, "source": 2})
    assert isinstance(rejection, Rejection)
    assert [problem.partition(":")[0] for problem in rejection.problems] == ["id", "source", "type"]
    assert str(rejection) == "; ".join(rejection.problems)


def test_size_limit() -> None:
    """64 KiB are read, one byte more is refused with both numbers."""
    body = b'{"reference":"sg_1","x":"' + b"x" * (MAX_EVENT_BYTES - 27) + b'"}'
    assert len(body) == MAX_EVENT_BYTES
    assert isinstance(read(body), GroupComplete)
    assert read(body + b" ") == Rejection((f"event: {MAX_EVENT_BYTES + 1} bytes, the limit is {MAX_EVENT_BYTES}",))


@pytest.mark.parametrize(("text", "safe"), [("a", True), ("x" * 128, True), ("x" * 129, False), ("", False),
                                            ("a\n", False), ("a/b", False), ("ä", False), ("٣", False), (7, False),
                                            (None, False)])  # fmt: skip
def test_is_reference(text: object, safe: bool) -> None:
    """Only a safe path segment is a reference."""
    assert is_reference(text) is safe


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": 1}, "the field a"), ({}, "no field"), ([1], "a list"), ("x", "a string"), (True, "true or false"),
        (None, "null"), (1, "a number"), (1.5, "a number"),
    ],
)  # fmt: skip
def test_what_was_found_instead(value: object, words: str) -> None:
    """A rejection says in words what stands in the place of what is needed."""
    assert found(value) == words
