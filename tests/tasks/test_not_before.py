"""Times before which a group must not be closed, as events give them (RFC 3339)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.events.event import Event, GroupComplete, Rejection, parse
from tasks.events.event_type import EventTypes
from tasks.events.not_before import read_time

NOON_MS = 1_795_608_000_000  # 2026-11-25T12:00:00Z
NOON = "2026-11-25T12:00:00Z"
CLOUD_EVENT = {"specversion": "1.0", "id": "1", "source": "wms", "type": "x.complete", "data": {"reference": "sg_1"}}


def read(document: dict[str, Any]) -> Event | Rejection:
    """What the event says."""
    return parse(json.dumps(document).encode(), source="stream", event_id="1-0", types=EventTypes())


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        (NOON, NOON_MS),
        ("2026-11-25t12:00:00z", NOON_MS),
        ("2026-11-25 13:30:00+01:30", NOON_MS),
        ("2026-11-25T11:59:59-00:00", NOON_MS - 1000),
        ("2026-11-25T12:00:00.5Z", NOON_MS + 500),
        ("2026-11-25T12:00:00.0001Z", NOON_MS + 1),
        ("2016-12-31T23:59:60Z", 1_483_228_800_000),
        ("1969-12-31T23:59:59Z", 0),
        ("0001-01-01T00:00:00+23:59", 0),
        ("9999-12-31T23:59:59-23:59", 253_402_300_799_999),
    ],
)
def test_times(text: str, ms: int) -> None:
    """A part of a millisecond is rounded up, so that nothing is closed early; what is out of range is clamped."""
    assert read_time(text) == ms


@given(st.integers(-(10**16), 2 * 10**17), st.integers(-1439, 1439))
def test_any_time(microseconds: int, minutes: int) -> None:
    """It is read as Python reads it, in any zone, and never as an earlier moment."""
    zone = timezone(timedelta(minutes=minutes))
    moment = datetime(1970, 1, 1, tzinfo=UTC).astimezone(zone) + timedelta(microseconds=microseconds)
    assert read_time(moment.isoformat()) == max(0, -(-microseconds // 1000))


@pytest.mark.parametrize(
    "value",
    ["", "2026-11-25", "2026-11-25T12:00", "2026-11-25T12:00:00", "2026-13-25T12:00:00Z", "2026-11-25T24:00:00Z",
     "2026-11-25T12:00:61Z", "2026-11-25T12:00:00+24:00", "2026-11-25T12:00:00+01", "\u0662026-11-25T12:00:00Z",
     NOON + "\n", "tomorrow", 1_795_608_000, True, [], {}],
)  # fmt: skip
@pytest.mark.parametrize("name", ["closeafter", "close_after", "closeAfter"])
def test_what_is_not_a_time(value: object, name: str) -> None:
    """The event is rejected, and the problem names the field and shows how a time is written."""
    for document, where in (
        (CLOUD_EVENT | {name: value}, name),
        (CLOUD_EVENT | {"data": {"reference": "sg_1", name: value}}, f"data.{name}"),
        ({"reference": "sg_1", name: value}, name),
    ):
        found = read(document)
        assert isinstance(found, Rejection)
        assert found.problems[0].startswith(f"{where}: it is not a time of RFC 3339")


@pytest.mark.parametrize("name", ["closeafter", "close_after", "closeAfter"])
def test_where_a_time_may_be(name: str) -> None:
    """As an attribute, in the data, and in a bare event, under each of its names; null is no time."""
    for document in (
        CLOUD_EVENT | {name: NOON},
        CLOUD_EVENT | {"data": {"reference": "sg_1", name: NOON}},
        CLOUD_EVENT | {"data": None, "subject": "sg_1", name: NOON},
        {"reference": "sg_1", name: NOON},
    ):
        found = read(document)
        assert isinstance(found, GroupComplete)
        assert found.not_before_ms == NOON_MS
    found = read({"reference": "sg_1", name: None})
    assert isinstance(found, GroupComplete)
    assert found.not_before_ms is None


def test_the_latest_of_several_times_counts() -> None:
    """An event that names two is not closed before the later one."""
    later = {"reference": "sg_1", "close_after": "2026-11-25T12:00:01Z", "closeafter": "2026-11-25T11:00:00Z"}
    found = read(CLOUD_EVENT | {"closeafter": NOON, "data": later})
    assert isinstance(found, GroupComplete)
    assert found.not_before_ms == NOON_MS + 1000
