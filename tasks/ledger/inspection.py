"""The inspection: what the agenda or an index has lost is put back, and counted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.closure import Reason
from tasks.ledger.scripts import Scripts


@dataclass(frozen=True, slots=True)
class Inspected:
    """One step of the inspection, and what its round has found so far.

    `wait_s`: until the next step. `happened`: "found" (the first damage of a round), "ended" (a round that has found
    some) or "". `agenda`, `index`: closures put back there. `stale`: wrong entries taken off. `aside`: entries that are
    not a reference, kept with the rejected events. `unknown`: records that cannot be read and that no index holds;
    `met`: those of this step.
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
    """Inspects the ledger, step by step. `step` raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def step(self, *, lease_s: float) -> Inspected:
        """Take one step of the inspection: what the agenda or an index has lost is put back; see `lua/inspect.lua`."""
        reply = await self._scripts.run("inspect", " ".join(Reason), int(lease_s * 1000))
        return Inspected.of(reply)
