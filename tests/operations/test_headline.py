"""The one sentence: the gravest concern comes first, and each names what to do."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tasks.closure import Reason, State
from tasks.ledger.gate import Gate, Standing
from tasks.ledger.measures import Measured
from tasks.ledger.summary import Summary
from tasks.ledger.tally import Tally
from tests.operations.summaries import NOW_MS, empty
from worker.cli.phrase import command
from worker.operations.headline import Concern, Facts, headline

SUMMARY = empty(closed_last_hour=1204)
MEASURED = Measured(NOW_MS, 0, 0, Tally({}, {}))
WELL = Facts(SUMMARY, MEASURED, alive=2)
PAUSED = Standing("paused", NOW_MS - 60_000, "anna", "stocktaking")
OUTAGE = Standing("outage", NOW_MS - 60_000, "closer", "most calls end in time-outs")


def shut(*standing: Standing) -> Facts:
    """The gate is shut, and everything else is wrong, too."""
    return replace(FAILED, summary=replace(FAILED.summary, gate=Gate(NOW_MS, standing)), alive=0)


def states(**numbers: int) -> dict[State, int]:
    """Closures by state."""
    return dict.fromkeys(State, 0) | {State(name): number for name, number in numbers.items()}


NEAR = replace(WELL, measured=replace(MEASURED, near_deadline=2))
REJECTED = replace(NEAR, summary=replace(SUMMARY, rejected=1))
FAILED = replace(
    REJECTED, summary=replace(REJECTED.summary, failed={Reason.GONE: 1, Reason.NOT_LOCKED: 28}),
)  # fmt: skip
OVERDUE = replace(FAILED, measured=replace(FAILED.measured, due=1, first_due_ms=NOW_MS - 200_000))
NOBODY = replace(OVERDUE, alive=0, summary=replace(OVERDUE.summary, states=states(queued=3, closed=9)))


@pytest.mark.parametrize(
    ("facts", "concern", "text", "first"),
    [
        (WELL, Concern.WELL, "All is well: 1,204 closed in the last hour, 0 open.", None),
        (
            NEAR, Concern.NEAR_DEADLINE, "2 groups are soon at the deadline, after which nobody tries any more.",
            "closer list --state retrying",
        ),
        (REJECTED, Concern.REJECTED, "1 rejected event waits for a person.", "closer rejected list"),
        (
            FAILED, Concern.FAILED, "29 groups need a person. By reason: 28 not_locked, 1 gone.",
            "closer list --state failed",
        ),
        (
            OVERDUE, Concern.NOT_TAKEN, "Nobody takes what is due: 1 group is, the first for 3 min.", "closer check",
        ),
        (NOBODY, Concern.NO_WORKERS, "No worker is alive, and 3 groups are to be closed. Start one.", "closer check"),
        (
            shut(PAUSED), Concern.GATE_SHUT,
            "No calls are made since 2023-11-14 22:12 UTC: paused by anna (stocktaking).", "closer resume --why …",
        ),
        (
            shut(OUTAGE), Concern.GATE_SHUT,
            "No calls are made since 2023-11-14 22:12 UTC: outage (most calls end in time-outs).", "closer check",
        ),
    ],
)  # fmt: skip
def test_the_gravest_comes_first(facts: Facts, concern: Concern, text: str, first: str | None) -> None:
    """Each of these has every concern of those before it, too."""
    found = headline(facts)
    assert (found.concern, found.text) == (concern, text)
    assert (found.step and command(found.step).replace("'", "")) == first
    assert found.as_json() == {"concern": concern, "text": text, "step": found.step and found.step.as_json()}


@pytest.mark.parametrize(
    "works",
    [replace(SUMMARY, closed_last_minute=1), replace(SUMMARY, states=states(closing=1))],
    ids=["closing goes on", "calls are in flight"],
)
def test_a_backlog_that_is_worked_on_is_no_concern(works: Summary) -> None:
    """However old the first of it is."""
    measured = replace(MEASURED, due=9, first_due_ms=NOW_MS - 10_000_000)
    assert headline(Facts(works, measured, alive=1)).concern is Concern.WELL


def test_without_workers_and_work() -> None:
    """Nobody would take the next event."""
    assert headline(replace(WELL, alive=0)).text == "No worker is alive. Start one."
    one = replace(WELL, summary=replace(SUMMARY, failed={Reason.GONE: 1}))
    assert headline(one).text == "1 group needs a person. By reason: 1 gone."


def test_a_pause_without_a_reason() -> None:
    """Nothing stands in brackets then."""
    silent = Standing("paused", NOW_MS, "anna", "")
    assert headline(shut(silent)).text.endswith(": paused by anna.")
