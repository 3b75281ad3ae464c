"""Times as people write them, and selections as values: JSON both ways, and options for a shell."""

from __future__ import annotations

import json
import subprocess
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.closure import Reason, State
from tasks.ledger.audit import Announced
from tasks.ledger.catalogue import Query
from worker.cli import phrase
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.frozen import FrozenSelection
from worker.operations.moment import Moment
from worker.operations.operator import Verb
from worker.operations.refusal import Refused, Rule
from worker.operations.selection import Filter, Selection
from worker.operations.step import Step

NOW = datetime(2026, 1, 31, 3, 30, tzinfo=UTC)
NOW_MS = round(NOW.timestamp() * 1000)
UNSAFE = ["a b", "a;b", "$HOME", "*", "`id`", "it's", 'say "x"', "--state", "", "ü\n"]
FILTERS = st.builds(
    Filter,
    states=st.lists(st.sampled_from(State), unique=True).map(tuple),
    reasons=st.lists(st.sampled_from(Reason), unique=True).map(tuple),
    statuses=st.lists(st.integers(100, 599).map(str)).map(tuple),
    codes=st.lists(st.text()).map(tuple),
    sources=st.lists(st.text()).map(tuple),
    since=st.none() | st.sampled_from(["2h", "03:00", "2026-01-31"]).map(Moment),
    until=st.none() | st.integers(0, 2**41).map(Moment.at),
    attempts_over=st.none() | st.integers(0, 99),
    prefix=st.none() | st.text(),
    text=st.none() | st.text(),
)


def announced(selection: Selection, **options: Any) -> Announced:
    """An action in the audit, for this selection."""
    frozen = FrozenSelection(Verb.REQUEUE, selection, [], {})
    return Announced("olga", "requeue", json.loads(json.dumps(frozen.named() | options)), "")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("90s", "2026-01-31T03:28:30+00:00"),
        ("30m", "2026-01-31T03:00:00+00:00"),
        ("1.5h", "2026-01-31T02:00:00+00:00"),
        ("1d", "2026-01-30T03:30:00+00:00"),
        ("03:00", "2026-01-31T03:00:00+00:00"),
        ("23:10", "2026-01-30T23:10:00+00:00"),
        ("2026-01-02", "2026-01-02T00:00:00+00:00"),
        ("2026-01-02T10:00+02:00", "2026-01-02T10:00:00+02:00"),
        ("2026-01-02T10:00Z", "2026-01-02T10:00:00+00:00"),
    ],
)
def test_times_are_read_as_people_write_them(text: str, meant: str) -> None:
    """A time may be an age, a time of day in UTC (the last one), or ISO 8601."""
    assert Moment.parse(text).ms(NOW_MS) == datetime.fromisoformat(meant).timestamp() * 1000


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "3 fortnights", "2026-13-01"])
def test_what_is_not_a_time_is_refused_with_the_ways_to_write_one(text: str) -> None:
    """A time that cannot be read is never guessed at."""
    with pytest.raises(ValueError, match="is not a time: write 30m"):
        Moment.parse(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("999999999w", "is too long ago: at most 10,000 days"), ("10001d", "is too long ago"),
        ("240025h", "is too long ago"), ("0001-01-01", "from 1970 to 9999"), ("1969-12-31", "from 1970 to 9999"),
        ("0001-01-01T00:00+14:00", "from 1970 to 9999"), ("9999-12-31T23:59:59-12:00", "from 1970 to 9999"),
    ],
)  # fmt: skip
def test_a_time_that_nobody_can_mean_is_refused(text: str, words: str) -> None:
    """It would choose everything that there is, or could not be written into the audit."""
    with pytest.raises(ValueError, match=words):
        Moment.parse(text)


@given(FILTERS)
def test_a_selection_is_a_value(filter_: Filter) -> None:
    """As JSON it goes to any door, and comes back the same."""
    selection = Selection(filter=filter_)
    assert Selection.from_json(json.loads(json.dumps(selection.as_json()))) == selection


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"filter": {"nobody": 1}},
        {"filter": {"state": ["x"]}},
        {"filter": {"since": "x"}},
        {"references": [], "filter": {}},
        {"filter": {"attempts_over": "x"}},
        {"filter": {"attempts_over": True}},
        {"filter": {"source": "wms"}},
        {"filter": []},
        {"filter": {"since": 7}},
        {"references": "sg_1"},
        {"references": []},
        {"references": [7]},
        {"references": ["sg_1"], "count": 2000},
    ],
)
def test_what_is_not_a_selection_is_refused(document: dict[str, Any]) -> None:
    """Nothing is guessed from JSON that closer did not write."""
    with pytest.raises(ValueError, match=r"\w"):
        Selection.from_json(document)


@pytest.mark.parametrize(
    "document",
    [
        {"rejected": "1-0"},
        {"use_subject": "false"},
        {"set": [["x"]]},
        {"set": ["xy"]},
        {"rejected": ["1-0"], "count": 2},
    ],
)
def test_what_does_not_choose_rejected_events_is_refused(document: dict[str, Any]) -> None:
    """Nothing is guessed here either; a list that the audit has cut short is not taken for the whole."""
    with pytest.raises(ValueError, match=r"\w"):
        DeadLetterSelection.from_json(document)


def test_a_choice_of_rejected_events_is_a_value() -> None:
    """As JSON it goes to any door, and comes back the same."""
    for selection in (
        DeadLetterSelection(("1-0", "2-0"), fields=(("data.x", "y"),), edited=True),
        DeadLetterSelection(accept_type="x.y", up_to="3-0"),
        DeadLetterSelection(use_subject=True, source="/w", event_type="z"),
        DeadLetterSelection(problem="x: y", source="/w"),
    ):
        assert DeadLetterSelection.from_json(json.loads(json.dumps(selection.as_json()))) == selection


@pytest.mark.parametrize("document", [{}, {"verb": "x"}, {"verb": "list", "lock": "false"}, {"verb": "list", "x": 1}])
def test_what_is_not_a_step_is_refused(document: dict[str, Any]) -> None:
    """JSON that closer did not write is not read as a step."""
    with pytest.raises(ValueError, match=r"\w"):
        Step.from_json(document)


def test_a_reference_that_begins_with_a_dash_is_not_taken_for_an_option() -> None:
    """It stands behind `--` in the command that is advised, and in the audit."""
    selection = Selection.of(["--yes", "sg_1"])
    assert phrase.command(Step(Verb.REQUEUE, selection)) == "closer requeue sg_1 --why '…' -- --yes"
    assert phrase.chosen(announced(selection, lock=True)) == "sg_1 --lock -- --yes"


def test_times_are_fixed_when_closures_are_looked_up() -> None:
    """The audit has when that was, by the store's clock, not how long ago."""
    fixed = Selection(filter=Filter(since=Moment("2h"), until=Moment("03:00"))).at(NOW_MS)
    assert fixed.as_json() == {
        "filter": {"since": "2026-01-31T01:30:00.000Z", "until": "2026-01-31T03:00:00.000Z"}
    }  # fmt: skip


def test_the_audit_shows_a_filter_as_options() -> None:
    """It can be pasted back into a shell."""
    filter_ = Filter(states=(State.FAILED,), reasons=(Reason.GONE, Reason.FORBIDDEN), since=Moment.at(0), text="a b")
    assert phrase.chosen(announced(Selection(filter=filter_), lock=True)) == (
        "--state failed --reason gone --reason forbidden --since 1970-01-01T00:00:00.000Z --text 'a b' --lock"
    )


@pytest.mark.parametrize("text", UNSAFE)
def test_a_shell_takes_the_options_as_they_were_given(text: str) -> None:
    """No character of a source or a text means anything to the shell that it is pasted into."""
    shown = phrase.chosen(announced(Selection(filter=Filter(sources=(text,), text=text))))
    done = subprocess.run(["sh", "-c", f"printf '%s\\0' {shown}"], capture_output=True, check=True, timeout=10)
    assert done.stdout.decode().split("\0")[:-1] == ["--source", text, "--text", text]


def test_the_audit_names_every_reference_up_to_a_thousand() -> None:
    """Of more it keeps the first few and their number; people are shown five."""
    some, many = (Selection.of([f"sg_{n}" for n in range(size)]) for size in (8, 1001))
    assert announced(some).selection == {"references": [f"sg_{n}" for n in range(8)]}
    assert phrase.chosen(announced(some)) == "sg_0 sg_1 sg_2 sg_3 sg_4 and 3 more"
    assert announced(many).selection == {"references": [f"sg_{n}" for n in range(20)], "count": 1001}
    assert phrase.chosen(announced(many)) == "sg_0 sg_1 sg_2 sg_3 sg_4 and 996 more"


@pytest.mark.parametrize(
    "selection", [{"filter": 7}, {"filter": {"x": 1}}, {"references": 7}, {"count": "x"}, {"set": 7}, {"set": [[1]]}]
)
def test_a_foreign_selection_in_the_audit_is_shown_as_it_is(selection: dict[str, Any]) -> None:
    """Another program may write there; the page is shown all the same."""
    assert phrase.chosen(Announced("x", "y", selection, "")) == str(selection)


def test_an_entry_of_an_earlier_release_is_shown_in_its_words() -> None:
    """It has no selection as a value."""
    assert phrase.chosen(Announced("x", "requeue", None, "", in_words="--reason gone")) == "--reason gone"


def test_references_and_filters_are_not_mixed() -> None:
    """Both together are refused, because their meaning would have to be guessed."""
    with pytest.raises(Refused) as refused:
        Selection.of(["sg_1"], Filter(text="x")).check()
    assert refused.value.rule is Rule.MIXED


def test_a_reason_together_with_another_state_than_failed_matches_nothing() -> None:
    """Only failed closures have a reason."""
    assert Query(states=(State.CLOSED,), reasons=(Reason.GONE,)).indexes == []
