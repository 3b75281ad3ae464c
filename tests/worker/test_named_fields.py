"""Events with other names: the rejection says which name is wrong, and nothing that was sent is lost."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks import task_message
from tasks.envelope import Envelope
from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection
from tasks.events.event_type import EventTypes
from worker.intake import entry

ACCEPTED = 'accepted is {"reference": "sg_1"}'


def read(**fields: str) -> Element:
    """The one element of an entry with these fields."""
    raw = {name.encode(): value.encode() for name, value in fields.items()}
    [element] = entry.read("1-0", raw, stream="s", types=EventTypes())
    return element


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (
            {"ref": "a"},
            f"reference: missing; the event has the field ref; closer does not know the field ref; {ACCEPTED}",
        ),
        (
            {"id": "1", "source": "w", "ref": "a"},
            "reference: missing; the event has the fields id, source, ref; "
            f"closer does not know the field ref; {ACCEPTED}",
        ),
        (
            {"id": "1", "type": "t.complete", "Reference": "a", "group": "b"},
            "reference: missing; the event has the fields id, type, Reference, group; "
            f"closer does not know the fields Reference, group; {ACCEPTED}",
        ),
        ({"id": "1", "source": "w"}, f"reference: missing; the event has the fields id, source; {ACCEPTED}"),
        ({"reference": None}, f"reference: null; the event has the field reference; {ACCEPTED}"),
        (
            {"id": "1", "source": "w", "type": "t.complete", "data": {"reference": "a"}},
            "specversion: missing; the event has the fields id, source, type, data",
        ),
        (
            {"specversion": "1.0", "ID": "1", "Source": "w", "type": "t.complete", "data": {"reference": "a"}},
            "id: missing; the event has the fields specversion, ID, Source, type, data; source: missing",
        ),
    ],
)
def test_a_misspelt_name_is_named(event: dict[str, Any], words: str) -> None:
    """The rejection says what is missing, what is there, and which of it closer does not know."""
    assert str(read(event=json.dumps(event)).event) == words


@pytest.mark.parametrize("name", ["payload", "Event", "message", "reference", "data"])
def test_an_entry_with_another_field_than_event_names_it(name: str) -> None:
    """The entry is kept whole, and its rejection names the field that is there and those that are accepted."""
    element = read(**{name: '{"reference": "sg_1"}'})
    assert f"it has the field {name}; accepted are event, or ce_id, ce_source, …" in str(element.event)
    assert json.loads(element.body) == {name: '{"reference": "sg_1"}'}


@pytest.mark.parametrize("event", ["group.complete", "", "[]", '{"group": "x"}', '{"specversion": "1.0"}'])
def test_fields_beside_a_wrong_event_are_named_and_kept(event: str) -> None:
    """One of them may name the group, so the rejected entry keeps all of them."""
    element = read(event=event, data='{"reference": "sg_1"}')
    assert "event: beside it the entry has the field data; closer reads no field beside it" in str(element.event)
    assert json.loads(element.body) == {"event": event, "data": '{"reference": "sg_1"}'}


@pytest.mark.parametrize(
    "more", [{"type": "other", "data": {"reference": "sg_1"}}, {"subject": "leeds", "data": {"site": 1}}]
)
def test_an_event_that_can_be_replayed_keeps_its_own_bytes(more: dict[str, Any]) -> None:
    """A refused type or an unused subject is replayed as it came, whatever stands beside it."""
    event = json.dumps({"specversion": "1.0", "id": "1", "source": "w", "type": "t.complete"} | more)
    element = read(event=event, trace="t")
    assert isinstance(element.event, Rejection)
    assert element.body == event.encode()
    assert "the field trace" in str(element.event)


ENVELOPE = {"specversion": "1.0", "id": "1", "source": "w", "type": "t.complete"}


@pytest.mark.parametrize("name", ["data", "Data", "data_base64"])
@pytest.mark.parametrize(
    "event",
    [
        ENVELOPE | {"subject": "sg_1"},
        ENVELOPE | {"subject": "sg_1", "data": None},
        ENVELOPE | {"data": {"reference": "sg_1"}},
        {"reference": "sg_1"},
        [{"reference": "sg_1"}, {"reference": "sg_2"}],
    ],
)
def test_data_beside_a_right_event(event: Any, name: str) -> None:
    """They may name another group than the event does, so nothing is closed, and the rejection names both fields."""
    raw = {"event": json.dumps(event), name: '{"reference": "sg_3"}'}
    element = read(**raw)
    assert f"event: beside it the entry has the field {name}, which may name another group" in str(element.event)
    assert json.loads(element.body) == raw


def test_fields_beside_a_right_event_do_no_harm() -> None:
    """An entry may carry more for other readers of the stream."""
    assert read(event='{"reference": "sg_1"}', trace="t").event == GroupComplete("sg_1", "s", "1-0")


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"refs": ["a"]}, "; it does not know the field refs, accepted is references"),
        ({"references": ["a"], "lock": True}, "; it does not know the field lock, accepted is references"),
    ],
)
def test_another_argument_of_a_task_message_is_named(kwargs: dict[str, Any], words: str) -> None:
    """Nothing of the message is received, and its rejection names the arguments that closer does not know."""
    body = json.dumps([[], kwargs, {}]).encode()
    found = task_message.read(Envelope(body, {"task": task_message.TASK_NAME}), datetime.now(UTC))
    assert found.references == ()
    assert [one.problem.endswith(words) for one in found.aside] == [True]
