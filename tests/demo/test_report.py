"""The demo's report: it finds every difference between the ledger and the API's records."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tasks.closure import Closure, Outcome, Reason, State
from tasks.history import Attempt
from worker.demo.report import Report
from worker.demo.scenario import Scenario
from worker.simulator.faults import Faults, GroupFault
from worker.simulator.groups import Groups

CLOSED = Closure(
    reference="sg_1", state=State.CLOSED, outcome=Outcome.CLOSED, reason=None, attempts=1, source="s", event_id="1",
    received_ms=1_000, entered_ms=3_500, next_attempt_ms=None, custom_reference=None, event_time=None,
    traceparent=None, history=(Attempt(1_000, "w", status=200),),
)  # fmt: skip
FAILED = replace(CLOSED, state=State.FAILED, outcome=None, reason=Reason.GONE)


def report(
    closure: Closure | None, closes: int, fault: GroupFault | None = None, faults: Faults | None = None
) -> Report:
    """One group that the API closed so many times, and what the ledger holds of it."""
    groups = Groups()
    group = groups.add("sg_1", "closed" if fault == "already_closed" else "locked", fault=fault)
    for _ in range(closes):
        group.move("closed", group.created)
    group.calls = 2
    scenario = Scenario(0, {"sg_1": fault}, [{"event": "{}"}], 0, faults or Faults())
    calls = Counter({("close", "200"): 2, ("get", "200"): 1})
    return Report(scenario, {"sg_1": closure}, groups.records(), calls, 0, 2.5, Path("worker.log"))


@pytest.mark.parametrize(
    ("closure", "closes", "fault"),
    [(CLOSED, 1, None), (FAILED, 0, "gone"), (replace(CLOSED, outcome=Outcome.ALREADY_CLOSED), 0, "already_closed")],
)
def test_agreement_is_good(closure: Closure, closes: int, fault: GroupFault | None) -> None:
    """Closed on both sides, or on neither, is what a demo must come to."""
    good = report(closure, closes, fault)
    assert good.good
    assert list(good.complaints()) == []
    assert "Nothing is lost" in "\n".join(good.lines())


@pytest.mark.parametrize(
    ("closure", "closes", "fault", "complaint"),
    [
        (CLOSED, 0, None, "closed in the ledger, but locked at the API"),
        (CLOSED, 2, None, "was closed 2 times"),
        (FAILED, 1, None, "failed in the ledger, but closed at the API"),
        (CLOSED, 0, "already_closed", "closed before"),
        (None, 0, None, "LOST: sg_1"),
        (replace(CLOSED, state=State.RETRYING), 1, None, "LOST: sg_1"),
    ],
)
def test_every_difference_is_found(
    closure: Closure | None, closes: int, fault: GroupFault | None, complaint: str
) -> None:
    """A group that is lost, closed twice or known otherwise at the API makes the report bad, and is named."""
    bad = report(closure, closes, fault)
    text = "\n".join(bad.lines())
    assert not bad.good
    assert complaint in text
    assert "worker.log" in text
    assert "Nothing is lost" not in text


def test_what_cannot_be_known_is_no_difference() -> None:
    """After an unreadable reply nobody knows who closed the group, so that is not a difference; after a cut it is."""
    assert report(CLOSED, 0, "already_closed", Faults(unusable_200=1)).good
    assert report(CLOSED, 1, None, Faults(unusable_200=1)).good
    for faults in (Faults(cut_after=1), Faults(error_500=1)):
        assert "closed before" in "\n".join(report(CLOSED, 0, "already_closed", faults).complaints())
    assert "locked at the API" in "\n".join(report(CLOSED, 0, None, Faults(unusable_200=1)).complaints())


def test_rejected_events_are_counted_as_well() -> None:
    """An entry that is not an event and was not put aside is missing, though no group is lost."""
    bad = replace(report(CLOSED, 1), rejected=1)
    assert "0 entries are not events, but 1 were rejected" in "\n".join(bad.complaints())


def test_the_numbers_add_up() -> None:
    """`published` is closed, already closed, failed and lost together; times and calls are as measured."""
    assert report(FAILED, 0).as_json() == {
        "published": 1, "closed": 0, "already_closed": 0, "failed": {"gone": 1}, "lost": 0, "calls": 3, "seconds": 2.5,
    }  # fmt: skip
    assert "2.5 s: sg_1, failed, replies 200" in "\n".join(report(FAILED, 0).lines())
    assert report(None, 0).as_json()["lost"] == 1
