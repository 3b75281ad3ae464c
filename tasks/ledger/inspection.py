"""The inspection finds entries that the agenda and the indexes have lost, and puts them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.closure import Reason
from tasks.ledger.scripts import Scripts


@dataclass(frozen=True, slots=True)
class Inspected:
    """One step of the inspection, and the counts of what its round has found so far.

    `wait_s`: seconds until the next step. `happened`: "found" at the first damage of a round, "ended" at the end of a
    round that found some, else "". `agenda`, `index`: closures that were put back there. `stale`: wrong entries that
    were taken off. `aside`: entries that are not a reference, which are kept with the rejected events. `unknown`:
    records that cannot be read and that no index holds. `met`: the references of those that this step found.
    """

    wait_s: float
    happened: str
    agenda: int
    index: int
    stale: int
    aside: int
    unknown: int
    met: tuple[str, ...]

    @classmethod
    def of(cls, reply: list[Any]) -> Inspected:
        """Read the reply of `lua/inspect.lua`."""
        wait_ms, happened, agenda, index, stale, aside, unknown, *met = reply
        references = tuple(reference.decode() for reference in met)
        return cls(wait_ms / 1000, happened.decode(), agenda, index, stale, aside, unknown, references)


class Inspector:
    """Inspects the ledger step by step. `step` may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def step(self, *, lease_s: float) -> Inspected:
        """Take one step of the inspection that the fleet shares, see `lua/inspect.lua`.

        `lease_s`: how long an attempt may hold its closure. A closure that was being attempted when the agenda lost it
        becomes due after this time. The round's position is in the store, so another worker goes on after a crash.
        """
        reply = await self._scripts.run("inspect", " ".join(Reason), int(lease_s * 1000))
        return Inspected.of(reply)
