"""A byte order mark before an event: Windows programs write one, and it says nothing about a group."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime

import pytest

from tasks import envelope, task_message
from tasks.events import batch
from tasks.events.event import GroupComplete, Rejection, parse
from tasks.events.event_type import EventTypes
from worker.intake import entry
from worker.operations.replay import names

MARK = b"\xef\xbb\xbf"
BARE = b'{"reference": "sg_1"}'
CLOUD: dict[str, object] = {"specversion": "1.0", "id": "e1", "source": "/w", "type": "group.complete"}
STRUCTURED = json.dumps(CLOUD | {"data": {"reference": "sg_1"}}).encode()


@pytest.mark.parametrize("body", [BARE, STRUCTURED, b"[" + BARE + b"]", b" \n" + BARE])
def test_a_mark_before_an_event_does_not_count(body: bytes) -> None:
    """Each form is read as it is without the mark, from the field `event` of an entry."""
    marked, plain = (
        entry.read("1-0", {b"event": each}, stream="s", types=EventTypes()) for each in (MARK + body, body)
    )
    assert isinstance(plain[0].event, GroupComplete)
    assert [one.event for one in marked] == [one.event for one in plain]


@pytest.mark.parametrize(
    "data",
    [
        {"data": (MARK + BARE).decode()},
        {"data_base64": base64.b64encode(MARK + BARE).decode()},
    ],
)
def test_a_mark_before_data_does_not_count(data: dict[str, str]) -> None:
    """Data that are text may begin with it, too."""
    event = parse(json.dumps(CLOUD | data).encode(), source="s", event_id="1-0", types=EventTypes())
    assert isinstance(event, GroupComplete)
    assert event.reference == "sg_1"


def test_a_mark_does_not_hide_data_from_the_subject() -> None:
    """Data under another name still keep the subject from being closed when they begin with the mark."""
    body = json.dumps(CLOUD | {"subject": "leeds", "payload": (MARK + BARE).decode()}).encode()
    assert isinstance(parse(body, source="s", event_id="1-0", types=EventTypes()), Rejection)


def test_a_marked_array_is_a_batch_for_a_replay_too() -> None:
    """Its groups are counted one by one, so that a replay loses none of them."""
    array = MARK + b'[{"reference": "a"}, {"reference": "b"}]'
    assert batch.is_array(array)
    assert len(names(array)) == 2


@pytest.mark.parametrize(("outer", "inner"), [(MARK, b""), (b"", MARK), (MARK, MARK)])
def test_a_mark_in_a_task_message_does_not_count(outer: bytes, inner: bytes) -> None:
    """It may stand before the message in a Redis list, and before its body."""
    body = (inner + json.dumps([[["sg_1"]], {}, {}]).encode()).decode()
    headers = {"task": task_message.TASK_NAME, "id": "t-1"}
    raw = outer + json.dumps({"body": body, "headers": headers, "content-type": "application/json"}).encode()
    read = task_message.read(envelope.from_redis(raw), datetime.now(UTC))
    assert (read.references, read.aside) == (("sg_1",), ())
