"""Event types: which say that a group is complete, by the rule or by a list."""

from __future__ import annotations

import json
import shlex
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.events.event import Event, GroupComplete, Rejection, parse
from tasks.events.event_type import DENIALS, OWN_TYPE, EventTypes, words

RULE = EventTypes()


@pytest.mark.parametrize(
    "event_type",
    [
        "complete", "COMPLETE", "Completed", "group.complete", "shipment-group.completed", "shipment_group_complete",
        "ShipmentGroupCompleted", "shipmentGroupCompletedEventV2", "com.acme.group.complete.v1", "group/complete/1",
        "group.complete.1.0", "group.complete.2024-01", "group.complete.v2.event", "GROUPComplete", "closed.complete",
        "fully.completed", "groupe.terminé.complete", "in.acme.group.complete", OWN_TYPE,
        "to.warehouse.group.complete", "in.transit.completed", "un.locode.group.complete",
    ],
)  # fmt: skip
def test_types_that_say_complete(event_type: str) -> None:
    """The last word is complete or completed; a version, or `event`, at the end does not count."""
    assert RULE.accept(event_type)


@pytest.mark.parametrize(
    "event_type",
    [
        "shipment-group.created", "shipment-group.reopened", "order.cancelled", "trailer.dispatched", "incomplete",
        "uncompleted", "notCompleted", "not.complete", "NOT_COMPLETE", "non-complete", "un.completed", "inComplete",
        "INComplete", "partial.complete", "group.partially.completed", "partlyComplete", "almost_complete",
        "nearly complete", "completed-partially", "group.complete.failed", "group.completion", "completes", "v1",
        "event", "1.0", "...", "complete.x", "completeness", "größecomplete", "partially.complete.v1", "completé",
        "not.yet.complete", "not_yet_completed", "never.completed", "not.fully.complete", "failed.to.complete",
        "isn't complete", "to.be.completed", "GroupNotYetCompletedV2", "group.yet.to.complete", "almost.all.complete",
        "cannot.be.completed", "order.not-shipped.complete",
    ],
)  # fmt: skip
def test_types_that_do_not(event_type: str) -> None:
    """A type with another last word, with a word that denies it, or with `complete` inside a word, is refused."""
    assert not RULE.accept(event_type)


@pytest.mark.parametrize(
    ("setting", "accepted", "refused"),
    [
        (
            "trailer.dispatched",
            ["trailer.dispatched"],
            ["trailer.dispatched.v1", "group.complete", "Trailer.Dispatched"],
        ),
        (" a , b ,", ["a", "b"], ["", "a , b", "c"]),
        ("com.acme.*.done", ["com.acme.group.done"], ["xcom.acme.group.done", "com.acme.group.done.v1"]),
        ("v?.done", ["v1.done"], ["v12.done"]),
        ("*", ["order.cancelled", "incomplete", "x"], []),
    ],
)
def test_a_list_replaces_the_rule(setting: str, accepted: list[str], refused: list[str]) -> None:
    """A type must match one of the patterns as a whole, in the same case; our own type always counts."""
    types = EventTypes.of(setting)
    assert [types.accept(one) for one in accepted] == [True] * len(accepted)
    assert [types.accept(one) for one in refused] == [False] * len(refused)
    assert types.accept(OWN_TYPE)


@pytest.mark.parametrize("setting", ["", ",", " , "])
def test_a_list_without_a_type_is_refused(setting: str) -> None:
    """An empty list is refused, because nobody knows whether it means all types or none."""
    with pytest.raises(ValueError, match="names no type"):
        EventTypes.of(setting)


@given(st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=30), st.sampled_from(["group.done", "a*"]))
def test_the_setting_that_is_advised_accepts_the_type(event_type: str, other: str) -> None:
    """Pasted into a shell, it accepts this type and those that were accepted before, whatever the type's name holds."""
    for types in (RULE, EventTypes((other,))):
        name, _, value = shlex.split(types.setting(event_type, ["group.complete", "x.created"]))[0].partition("=")
        assert name == "CLOSER_EVENT_TYPES"
        advised = EventTypes.of(value)
        assert advised.accept(event_type)
        assert advised.accept("group.done") == types.accept("group.done") or event_type == "group.done"
        assert types is not RULE or advised.accept("group.complete")
        assert not advised.accept("x.created") or event_type == "x.created"


@example("x.never.y")
@example("neverland")
@given(st.text(string.ascii_letters + "._-", max_size=20))
def test_of_what_stands_before_only_a_denial_matters(beginning: str) -> None:
    """`not.complete` at its end is refused; `group.complete` is accepted but where a word before it denies it."""
    denies = any(one.lower() in DENIALS for one in words(beginning))
    assert not RULE.accept(f"{beginning}.not.complete")
    assert RULE.accept(f"{beginning}.group.complete") != denies


CLOUD = {"specversion": "1.0", "id": "1", "source": "/w", "data": {"reference": "sg_1"}}


def read(event: dict[str, object], types: EventTypes = RULE) -> Event | Rejection:
    """Parse an event."""
    return parse(json.dumps(event).encode(), source="stream", event_id="1-0", types=types)


@pytest.mark.parametrize(
    "event",
    [
        CLOUD | {"type": "order.cancelled"},
        {"reference": "sg_1", "event": "order.cancelled"},
        {"reference": "sg_1", "event_type": "order.cancelled"},
        {"reference": "sg_1", "eventType": "order.cancelled"},
        {"reference": "sg_1", "event": "group.complete", "eventType": "order.cancelled"},
        {"reference": "sg_1", "id": "1", "source": "/w", "type": "order.cancelled"},
    ],
)
def test_an_event_of_another_type_is_refused(event: dict[str, object]) -> None:
    """The reason names the type and the variable; the same event is accepted once the type is."""
    rejection = read(event)
    assert isinstance(rejection, Rejection)
    assert rejection.refused_type == "order.cancelled"
    assert "order.cancelled" in str(rejection)
    assert "CLOSER_EVENT_TYPES" in str(rejection)
    accepted = read(event, RULE.also("order.cancelled"))
    assert accepted == GroupComplete("sg_1", *(("/w", "1") if "id" in event else ("stream", "1-0")))
    named = read(event, EventTypes(("another",)))
    assert isinstance(named, Rejection)
    assert "CLOSER_EVENT_TYPES" in str(named)


@pytest.mark.parametrize("name", ["event", "event_type", "eventType"])
@pytest.mark.parametrize("value", [7, None, True, [], {}, "", "a\nb", "x" * 513, "\ud800"])
def test_a_type_that_is_not_a_text_is_refused(name: str, value: object) -> None:
    """A bare event that tells its type tells it as CloudEvents do; else nobody knows what it says."""
    rejection = read({"reference": "sg_1", name: value}, EventTypes(("*",)))
    assert isinstance(rejection, Rejection)
    assert str(rejection).startswith(f"type: the field {name} is wrong")
    assert rejection.refused_type is None


@pytest.mark.parametrize(
    "event",
    [
        {"reference": "sg_1", "event": "group.complete"},
        {"reference": "sg_1", "eventType": "ShipmentGroupCompleted"},
        {"reference": "sg_1", "type": "shipment_group"},
        CLOUD | {"type": "group.complete"},
    ],
)
def test_an_event_of_the_right_type_is_accepted(event: dict[str, object]) -> None:
    """`type` alone does not make a bare event of some kind: many records have a field of that name."""
    accepted = read(event)
    assert isinstance(accepted, GroupComplete)


def test_every_problem_is_told_at_once() -> None:
    """A wrong type and missing data are told together."""
    rejection = read({"specversion": "1.0", "id": "1", "source": "/w", "type": "order.cancelled", "data": []})
    assert isinstance(rejection, Rejection)
    assert [problem.partition(":")[0] for problem in rejection.problems] == ["type", "data.reference"]
    bare = read({"reference": "a/b", "event": "order.cancelled"})
    assert isinstance(bare, Rejection)
    assert [problem.partition(":")[0] for problem in bare.problems] == ["reference", "type"]
