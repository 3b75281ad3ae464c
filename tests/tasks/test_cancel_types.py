"""Which events cancel a group: by their type, and read by the same rules as complete ones."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.events.event import Event, GroupCancelled, GroupComplete, Rejection, parse
from tasks.events.event_type import OWN_TYPE, EventTypes
from tasks.events.not_before import read_time, time_of
from tests.fuzz.strategies import mutated_events

TYPES = EventTypes().with_cancelling("group.cancelled, *.reopened")
NOON, NOON_MS = "2026-11-25T12:00:00Z", 1_795_608_000_000


def read(event: Mapping[str, object], types: EventTypes = TYPES) -> Event | Rejection:
    """Read one event."""
    return parse(json.dumps(event).encode(), source="stream", event_id="1-0", types=types)


def cloud_event(event_type: str, **more: object) -> dict[str, object]:
    """A CloudEvent for the group sg_1."""
    data = {"reference": "sg_1"}
    return {"specversion": "1.0", "id": "7", "source": "wms", "type": event_type, "data": data} | more


@pytest.mark.parametrize(
    ("text", "cancels", "not_"),
    [
        ("group.cancelled", ["group.cancelled"], ["group.cancelled.v1", "Group.Cancelled", "group.complete"]),
        (" a , b.* ,", ["a", "b.c"], ["", "b", "ab.c"]),
        ("*", ["group.complete", "x"], [OWN_TYPE]),
    ],
)
def test_types_that_cancel(text: str, cancels: list[str], not_: list[str]) -> None:
    """A type must match one of the patterns as a whole. It is then not accepted as complete, whatever the list says."""
    types = EventTypes.of("*").with_cancelling(text)
    assert [types.cancels(one) for one in cancels] == [True] * len(cancels)
    assert not any(types.accept(one) for one in cancels)
    assert not any(types.also(one).accept(one) for one in cancels)
    assert not any(types.cancels(one) for one in not_)
    assert all(types.takes(one) for one in [*cancels, *not_])


def test_off_unless_it_is_set() -> None:
    """Without the list nothing cancels, and no time is read; an empty list is refused."""
    assert not EventTypes().cancels("group.cancelled")
    assert isinstance(read(cloud_event("group.cancelled"), EventTypes()), Rejection)
    complete = read(cloud_event("group.complete", time=NOON), EventTypes())
    assert isinstance(complete, GroupComplete)
    assert complete.time_ms is None
    with pytest.raises(ValueError, match="names no type"):
        EventTypes().with_cancelling(" , ")


@pytest.mark.parametrize(
    "event",
    [
        cloud_event("group.cancelled"),
        cloud_event("shipment.reopened", data=None, subject="sg_1"),
        cloud_event("group.cancelled", data='{"reference": "sg_1"}'),
        {"reference": "sg_1", "id": "7", "source": "wms", "type": "group.cancelled"},
        {"reference": "sg_1", "id": "7", "source": "wms", "event": "group.cancelled", "type": "order.changed"},
        {"reference": "sg_1", "id": "7", "source": "wms", "event": "group.complete", "eventType": "group.cancelled"},
    ],
)
def test_events_that_cancel(event: dict[str, object]) -> None:
    """In every form that a complete event may have; of several types one that cancels decides."""
    assert read(event) == GroupCancelled("sg_1", "wms", "7")
    assert read(event | {"time": NOON}) == GroupCancelled("sg_1", "wms", "7", NOON_MS)


def test_a_bare_event_without_an_identity() -> None:
    """It is known by its entry, and its time is not read, because it may mean anything."""
    event = {"reference": "sg_1", "event": "group.cancelled", "time": NOON}
    assert read(event) == GroupCancelled("sg_1", "stream", "1-0")


@pytest.mark.parametrize(
    "event",
    [
        cloud_event("group.cancelled", data={"group": "sg_1"}),
        cloud_event("group.cancelled", data=None),
        cloud_event("group.cancelled", data={"reference": "no reference"}),
        cloud_event("group.cancelled", data={"reference": "sg_1"}, reference="sg_2"),
        cloud_event("group.cancelled", id=7),
        {"event": "group.cancelled"},
        {"reference": "sg_1", "event": "group.cancelled", "eventType": 7},
    ],
)
def test_cancel_events_that_are_rejected(event: dict[str, object]) -> None:
    """Those that name no group, or are wrong in another way, are rejected as complete ones are, not for their type."""
    rejection = read(event)
    assert isinstance(rejection, Rejection)
    assert rejection.refused_type is None


def test_complete_events_have_a_time() -> None:
    """Where cancel events are accepted the time of a complete event is read, in both forms."""
    bare = {"reference": "sg_1", "id": "7", "source": "wms"}
    for event in (cloud_event("group.complete"), bare):
        complete = read({**event, "time": NOON})
        assert isinstance(complete, GroupComplete)
        assert complete.time_ms == NOON_MS


@pytest.mark.parametrize("time", ["noon", "2026-11-25", "2026-11-25T12:00:00", "2026-13-25T12:00:00Z", "1795608000"])
def test_a_time_that_cannot_be_read_is_none(time: str) -> None:
    """It is not guessed at: a zone is needed, and the event is taken all the same."""
    assert read(cloud_event("group.cancelled", time=time)) == GroupCancelled("sg_1", "wms", "7")


offsets = st.integers(-14 * 60, 14 * 60)


def text_of(at: datetime, offset: int) -> str:
    """The instant in RFC 3339, in a zone so many minutes from UTC."""
    sign, minutes = "-" if offset < 0 else "+", abs(offset)
    local = (at + timedelta(minutes=offset)).replace(tzinfo=None).isoformat(timespec="microseconds")
    return f"{local}{sign}{minutes // 60:02}:{minutes % 60:02}"


days = st.timedeltas(timedelta(days=2), timedelta(days=2_900_000))


@given(days, st.timedeltas(timedelta(microseconds=1), timedelta(days=1)), offsets, offsets)
def test_times_keep_their_order(since: timedelta, after: timedelta, one: int, other: int) -> None:
    """In whatever zones they are written: a later instant is never a smaller number, a millisecond later is more."""
    at = datetime(1970, 1, 1, tzinfo=UTC) + since
    earlier, later = read_time(text_of(at, one)), read_time(text_of(at + after, other))
    assert earlier <= later
    assert earlier < later or after < timedelta(milliseconds=1)


@given(st.one_of(st.none(), st.integers(), st.text(), st.text("0123456789-:TZ.+", max_size=30)))
def test_any_value_as_a_time(value: object) -> None:
    """It is a time in ms or None; nothing is raised."""
    found = time_of(value)
    assert found is None or 0 <= found <= 253402300799999


@given(mutated_events)
def test_any_event(body: bytes) -> None:
    """Whatever comes: under a list that matches all types no event says complete but our own, and nothing is raised."""
    types = EventTypes.of("*").with_cancelling("*")
    event = parse(body, source="s", event_id="1", types=types)
    plain = parse(body, source="s", event_id="1", types=EventTypes.of("*"))
    assert isinstance(event, Rejection) == isinstance(plain, Rejection)
    if isinstance(event, GroupComplete):
        assert event.type in (None, OWN_TYPE)
    if isinstance(event, GroupCancelled):
        assert isinstance(plain, GroupComplete)
        assert (event.reference, event.source, event.event_id) == (plain.reference, plain.source, plain.event_id)
