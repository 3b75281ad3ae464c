"""What has happened since the ledger began, as its scripts count it (`lua/lib/tally.lua`), and how often of late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

_HOUR_MIN = 60
_DIGITS_MOST = 15  # a longer number no script has counted


class Intake(StrEnum):
    """The ways on which events come.

    STREAM: the Redis stream, to which the HTTP door writes, too. TASK: task messages of other programs. REPLAY: an
    operator has replayed rejected events.
    """

    STREAM = "stream"
    TASK = "task"
    REPLAY = "replay"


@dataclass(frozen=True, slots=True)
class Rates:
    """How often something happened within about the last hour: since the beginning of the minute 60 minutes ago.

    `events` that came, `attempts` that were written down, groups that were `closed`, and closures that failed.
    """

    events: int = 0
    attempts: int = 0
    closed: int = 0
    failures: int = 0

    def __sub__(self, other: Rates) -> Rates:
        """Return what was counted since `other`; nothing where the counts have begun anew since."""
        return Rates(
            max(0, self.events - other.events),
            max(0, self.attempts - other.attempts),
            max(0, self.closed - other.closed),
            max(0, self.failures - other.failures),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts. `totals`: by name, such as `closed:already_closed`.

    `marks`: what the sums were when each of the last minutes (since the epoch) began, if something was counted in it.
    """

    totals: Mapping[str, int]
    marks: Mapping[int, Rates]

    @classmethod
    def parse(cls, totals: Mapping[bytes, bytes], marks: Mapping[bytes, bytes]) -> Tally:
        """Read the two hashes. Fields that another program has written are left out."""
        read = {name.decode("utf-8", "backslashreplace"): _number(value) for name, value in totals.items()}
        found = [mark for raw in marks.values() if (mark := _mark(raw))]
        return cls({name: number for name, number in read.items() if number is not None}, dict(found))

    def of(self, *words: str) -> int:
        """Return the count with this name, given in its parts; 0 when nothing has been counted."""
        return self.totals.get(":".join(words), 0)

    def last_hour(self, now_ms: int) -> Rates:
        """Return what happened within the last hour before `now_ms` (ms since the epoch, store's clock)."""
        begin = now_ms // 60_000 - _HOUR_MIN
        lately = [minute for minute in self.marks if begin <= minute <= now_ms // 60_000]
        return self._now() - self.marks[min(lately)] if lately else Rates()

    def _now(self) -> Rates:
        def all_of(kind: str) -> int:
            return sum(number for name, number in self.totals.items() if name.startswith(f"{kind}:"))

        return Rates(all_of("events"), all_of("attempts"), all_of("closed"), all_of("failures"))


def _mark(raw: bytes) -> tuple[int, Rates] | None:
    numbers = [number for word in raw.split() if (number := _number(word)) is not None]
    return (numbers[0], Rates(*numbers[1:])) if len(numbers) == 5 else None


def _number(raw: bytes) -> int | None:
    return int(raw) if raw.isdigit() and len(raw) <= _DIGITS_MOST else None
