"""What metrics and the status need beside the ledger's summary: what is due, what is old, what has been counted."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.ledger.scripts import Scripts
from tasks.ledger.tally import Rates, Tally


@dataclass(frozen=True, slots=True)
class Measured:
    """Numbers of the ledger at one moment. Times are ms since the epoch, by the store's clock, which says `now_ms`.

    `due`: closures that somebody must look at now; `first_due_ms`: since when the first of them is due. Of the 50
    oldest unfinished closures, `clock_age_s` is the longest time that one has waited while the gate was open (s), and
    `near_deadline` counts those that have less than a tenth of their time left. `intake_since_ms`: when the first event
    came that is not taken in yet. `last_event_ms`, `last_close_ms`: when the last event came, and when the last group
    was closed. None: there is none.
    """

    now_ms: int
    due: int
    near_deadline: int
    tally: Tally
    first_due_ms: int | None = None
    clock_age_s: float | None = None
    intake_since_ms: int | None = None
    last_close_ms: int | None = None

    @property
    def last_event_ms(self) -> int | None:
        """When the last event came (ms since the epoch); None: none has come since the counts began."""
        return self.tally.totals.get("last_event")

    @property
    def overdue_s(self) -> float:
        """How long the first closure that is due has waited for somebody to take it (s); 0: none is due."""
        return self._ago_s(self.first_due_ms)

    @property
    def intake_oldest_s(self) -> float:
        """How long the first event that is not taken in yet has waited (s); 0: there is none."""
        return self._ago_s(self.intake_since_ms)

    @property
    def last_hour(self) -> Rates:
        """What happened within the last hour."""
        return self.tally.last_hour(self.now_ms)

    def _ago_s(self, at_ms: int | None) -> float:
        return 0.0 if at_ms is None else max(0, self.now_ms - at_ms) / 1000


@dataclass(frozen=True, slots=True)
class Place:
    """Where an unfinished closure stands in time. Times are ms since the epoch, by the store's clock: `now_ms`.

    `due_ms`: when somebody must next look at it. `left_s`: the time that is left to its deadline (s), which stands
    still while the gate is shut; below 0 when it is over. None: it is finished, or not known.
    """

    now_ms: int
    due_ms: int | None = None
    left_s: float | None = None

    @property
    def overdue_s(self) -> float:
        """For how long it has been due (s); 0 when it is not."""
        return 0.0 if self.due_ms is None else max(0, self.now_ms - self.due_ms) / 1000


class Measures:
    """Reads these numbers, and changes nothing. It costs the store the same whatever the ledger holds."""

    def __init__(self, scripts: Scripts, group: str) -> None:
        """`group`: the name of our consumer group."""
        self._scripts = scripts
        self._group = group

    async def read(self, stream: str) -> Measured:
        """Return the numbers. `stream`: the one that events come on. Raises StoreUnavailable and LedgerBroken."""
        numbers, totals, marks = await self._scripts.run("measure", self._group, keys=(stream,))
        found = {name.decode(): int(value) for name, value in _pairs(numbers).items()}
        clock_age = found.get("clock_age")
        return Measured(
            now_ms=found["now"],
            due=found["due"],
            near_deadline=found["near_deadline"],
            tally=Tally.parse(_pairs(totals), _pairs(marks)),
            first_due_ms=found.get("first_due"),
            clock_age_s=None if clock_age is None else max(0, clock_age) / 1000,
            intake_since_ms=found.get("intake_since"),
            last_close_ms=found.get("last_close"),
        )

    async def place(self, reference: str) -> Place:
        """Return where a closure stands in time. Raises StoreUnavailable and LedgerBroken."""
        now, due, left = await self._scripts.run("place", reference)
        return Place(int(now), int(due) if due else None, int(left) / 1000 if left else None)


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    """Return a flat list of names and values as a mapping; an empty one where another program has taken the key."""
    return dict(zip(flat[::2], flat[1::2], strict=True))
