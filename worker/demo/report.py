"""Compares the ledger with the simulated API's own records, group by group, and reports what the demo came to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tasks.closure import Closure, Outcome, State
from worker.demo.scenario import Scenario
from worker.simulator.faults import call_fault
from worker.simulator.groups import Group

Calls = Counter[tuple[Any, str]]
# By reason: what an operator does about a failure that the demo plays.
_NEXT = {
    "not_locked": "lock the group at Sorted, then publish it again: a new event queues it again",
    "not_found": "compare the reference with Sorted's; publish the right one",
    "gone": "nothing can be closed any more: tell whoever removed it",
    "forbidden": "have Sorted grant the account the right to close it, then publish it again",
}


@dataclass(frozen=True, slots=True)
class Report:
    """What a demo came to.

    `closures`: the ledger's closure of each published group, None if it has none. `records`: the API's own. `calls`: by
    endpoint and status. `rejected`: how many entries were rejected. `seconds`: how long the demo took. `worker_log`:
    where the log is; it is kept only if something is wrong.
    """

    scenario: Scenario
    closures: Mapping[str, Closure | None]
    records: Mapping[str, Group]
    calls: Calls
    rejected: int
    seconds: float
    worker_log: Path

    @property
    def lost(self) -> list[str]:
        """The groups that are neither closed nor failed in the ledger."""
        ended = (State.CLOSED, State.FAILED)
        return [ref for ref, closure in self.closures.items() if closure is None or closure.state not in ended]

    @property
    def failed(self) -> dict[str, int]:
        """How many closures failed, by reason."""
        reasons = Counter(closure.reason.value for closure in self._ended() if closure.reason)
        return dict(sorted(reasons.items()))

    @property
    def disagreements(self) -> list[str]:
        """Where the ledger and the API's records differ, in words."""
        said = (self._differs(ref, closure) for ref, closure in self.closures.items())
        wrong = [text for text in said if text]
        if self.rejected != self.scenario.garbage:
            wrong.append(f"{self.scenario.garbage} entries are not events, but {self.rejected} were rejected")
        return wrong

    @property
    def good(self) -> bool:
        """Whether nothing is lost and both sides agree."""
        return not self.lost and not self.disagreements

    def count(self, outcome: Outcome) -> int:
        """Return how many groups were closed with this outcome."""
        return sum(closure.outcome is outcome for closure in self._ended())

    def as_json(self) -> dict[str, Any]:
        """Return the numbers for other programs. `published` counts groups: it is the sum of those up to `lost`."""
        return {
            "published": len(self.closures),
            "closed": self.count(Outcome.CLOSED),
            "already_closed": self.count(Outcome.ALREADY_CLOSED),
            "failed": self.failed,
            "lost": len(self.lost),
            "calls": self.calls.total(),
            "seconds": round(self.seconds, 1),
        }

    def lines(self) -> Iterator[str]:
        """Yield the summary for people."""
        duplicates = len(self.scenario.entries) - self.rejected - len(self.closures) + self.closures_missing
        yield f"Published        {len(self.scenario.entries)} events about {len(self.closures)} groups"
        yield f"  received       {len(self.closures) - self.closures_missing}"
        yield f"  duplicates     {duplicates}"
        yield f"  rejected       {self.rejected}   (not events; kept with the reason)"
        yield f"Closed           {self.count(Outcome.CLOSED)}"
        yield f"Already closed   {self.count(Outcome.ALREADY_CLOSED)}   (closed before, or a reply was lost)"
        yield f"Failed           {sum(self.failed.values())}"
        yield from (f"  {reason:<14} {number}" for reason, number in self.failed.items())
        yield f"Lost             {len(self.lost)}"
        yield f"Calls            {self.calls.total()}   ({self._calls_by_endpoint()})"
        yield from self._slowest()
        yield f"Time             {self.seconds:.1f} s"
        yield from self._next_steps()
        yield from self._judgement()

    @property
    def closures_missing(self) -> int:
        """How many published groups the ledger does not know."""
        return sum(closure is None for closure in self.closures.values())

    def _ended(self) -> list[Closure]:
        return [closure for closure in self.closures.values() if closure is not None]

    def _differs(self, reference: str, closure: Closure | None) -> str:
        """Return what is wrong with this group, "" if the ledger and the API agree about it."""
        if closure is None:
            return ""
        record = self.records[reference]
        before = self.scenario.groups[reference] == "already_closed"
        if record.effective_closes > (not before):
            return f"{reference} was closed {record.effective_closes} times"
        if (closure.state is State.CLOSED) != (record.state == "closed"):
            return f"{reference} is {closure.state} in the ledger, but {record.state} at the API"
        if before and closure.outcome is Outcome.CLOSED and not self._was_unclear(record):
            return f"{reference} counts as closed by us, but it was closed before"
        return ""

    def _was_unclear(self, record: Group) -> bool:
        """Return whether a call was answered with another program's page.

        The group's state is then asked for. If it is closed, nobody knows whether this call has closed it.
        """
        faults, seed = self.scenario.faults, self.scenario.seed
        drawn = (call_fault(faults, seed, record.reference, call) for call in range(1, record.calls + 1))
        return "unusable_200" in drawn

    def _calls_by_endpoint(self) -> str:
        by_endpoint: Counter[str] = Counter()
        for (endpoint, _), number in self.calls.items():
            by_endpoint[endpoint] += number
        return ", ".join(f"{endpoint} {number}" for endpoint, number in sorted(by_endpoint.items())) or "none"

    def _slowest(self) -> Iterator[str]:
        slowest = max(self._ended(), key=lambda closure: closure.entered_ms - closure.received_ms, default=None)
        if slowest is None:
            return
        seconds = (slowest.entered_ms - slowest.received_ms) / 1000
        replies = ", ".join(str(attempt.status or attempt.code) for attempt in slowest.history)
        yield f"The slowest      {seconds:.1f} s: {slowest.reference}, {slowest.state}, replies {replies}"

    def _next_steps(self) -> Iterator[str]:
        if not self.failed:
            return
        yield ""
        yield "What an operator would do next if this were not a demo:"
        yield "  closer list --state failed"
        for reason in self.failed:
            reference = next(c.reference for c in self._ended() if c.reason and c.reason.value == reason)
            yield f"  closer show {reference}"
            yield f"    {reason}: {_NEXT.get(reason, 'read its history: what was replied, and when')}"
        yield "  closer publish REFERENCE"

    def _judgement(self) -> Iterator[str]:
        yield ""
        if self.good:
            yield "Nothing is lost, and the simulated API's records agree with the ledger, group by group."
        yield from self.complaints()

    def complaints(self) -> Iterator[str]:
        """Yield what is wrong, and where the worker's log is. Yield nothing if all is well."""
        yield from (f"LOST: {reference}" for reference in self.lost)
        yield from (f"WRONG: {text}" for text in self.disagreements)
        if not self.good:
            yield f"The worker's log: {self.worker_log}"
