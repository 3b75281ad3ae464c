"""A worker's heartbeat in the ledger: what the worker says of itself, and when it said so."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.ledger.codec import NOT_OURS, compact_json
from tasks.ledger.scripts import Scripts
from tasks.ledger.values import Unreadable

_LATEST_MS = 253_402_300_799_999  # the end of the year 9999, as in lua/lib/damage.lua


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """A worker's last heartbeat.

    `at_ms`: when it came (ms since the epoch, by the store's clock). `in_flight`: calls that it is making. `waiting`:
    closures that it has claimed and not begun. `settled`, `lost_leases`, `log_lines_lost`: counts since it started.
    `trouble`: what keeps it from its work, "" for nothing. `said`: all that it says, including newer releases' fields.
    """

    name: str
    at_ms: int
    in_flight: int
    waiting: int
    settled: int
    lost_leases: int
    trouble: str
    log_lines_lost: int
    said: Mapping[str, Any]

    @property
    def sound(self) -> bool:
        """Whether each field has a value that a worker can have written."""
        counts = (self.in_flight, self.waiting, self.settled, self.lost_leases, self.log_lines_lost)
        return (
            0 <= self.at_ms <= _LATEST_MS
            and all(type(count) is int for count in counts)
            and isinstance(self.trouble, str)
        )


def read_heartbeat(name: bytes, raw: bytes) -> Heartbeat | Unreadable:
    """Read one field of the workers' hash. Never raises: another program may have written anything there."""
    shown = name.decode("utf-8", "backslashreplace")
    try:
        said = json.loads(raw)
        at_ms = int(said.pop("at"))
        heartbeat = Heartbeat(
            shown, at_ms, said.get("in_flight", 0), said.get("waiting", 0), said.get("settled", 0),
            said.get("lost_leases", 0), said.get("trouble", ""), said.get("log_lines_lost", 0), said,
        )  # fmt: skip
    except NOT_OURS:
        return Unreadable(shown)
    return heartbeat if heartbeat.sound else Unreadable(shown)


class Heartbeats:
    """The heartbeats of every worker. `write` may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def write(
        self, worker: str = "", said: dict[str, Any] | None = None
    ) -> tuple[int, list[Heartbeat | Unreadable]]:
        """Write a worker's heartbeat, and return the time (ms since the epoch) and every worker's last one.

        `said`: what it says of itself; None takes the worker off. A worker that dies without this is forgotten after an
        hour.
        """
        now, *flat = await self._scripts.run("heartbeat", worker, "" if said is None else compact_json(said))
        return int(now), list(map(read_heartbeat, flat[::2], flat[1::2]))
