"""Times as people write them, and selections as the audit shows them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from tasks.catalogue import Query
from tasks.closure import Reason, State
from worker.operations.selection import Selection, moment

NOW = datetime(2026, 1, 31, 3, 30, tzinfo=UTC)


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
    """Ago, the last such time of day in UTC, or ISO 8601."""
    assert moment(text, NOW) == datetime.fromisoformat(meant)


@pytest.mark.parametrize("text", ["", "yesterday", "25:00", "3 fortnights", "2026-13-01"])
def test_what_is_no_time_is_refused_with_the_ways_to_write_one(text: str) -> None:
    """A time that cannot be read is never guessed at."""
    with pytest.raises(ValueError, match="is no time: write 30m"):
        moment(text, NOW)


def test_a_selection_is_shown_as_it_is_written_on_the_command_line() -> None:
    """The audit can be pasted back into a shell."""
    query = Query(states=(State.FAILED,), reasons=(Reason.GONE, Reason.FORBIDDEN), since_ms=0, text="a b")
    assert str(Selection.of((), query)) == (
        "--state failed --reason gone --reason forbidden --since 1970-01-01T00:00:00.000Z --text 'a b'"
    )


def test_many_references_are_shown_as_the_first_and_how_many() -> None:
    """Ten thousand references do not fill the audit."""
    assert str(Selection.of([f"sg_{n}" for n in range(8)], Query())) == "sg_0 sg_1 sg_2 sg_3 sg_4 and 3 more"


def test_references_and_filters_are_not_mixed() -> None:
    """What both together mean would have to be guessed."""
    with pytest.raises(ValueError, match="references or filters"):
        Selection.of(["sg_1"], Query(text="x"))


def test_a_reason_together_with_another_state_than_failed_matches_nothing() -> None:
    """Only failed closures have a reason."""
    assert Query(states=(State.CLOSED,), reasons=(Reason.GONE,)).indexes == []
