"""Takes the steps of stored bulk actions that ask the API first.

A crash after an answer is safe: the item is asked for again.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from tasks.errors import CloserError
from tasks.ledger.bulk import LEASE_S, BulkStep, Said
from tasks.ledger.ledger import Ledger

_KEEP_S = LEASE_S / 3
_ASKED_AT_ONCE = 50
# Takes a step of the action, with answers of the API.
Take = Callable[[Sequence[Said]], Awaitable[BulkStep]]


@dataclass(frozen=True, slots=True)
class Answered:
    """What the API says, by reference. `stop`: why the action is stopped now, "" to go on.

    `error`: raised after that.
    """

    says: Mapping[str, str] = field(default_factory=dict)
    stop: str = ""
    error: CloserError | None = None


class Asks(Protocol):
    """Asks the API for the items of a step.

    `strict`: a gate that is shut stops the action. Else the action waits until the gate opens.
    """

    @property
    def strict(self) -> bool:
        """See above."""

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """Ask for these groups. Raises StoreUnavailable and LedgerBroken."""


async def ask_and_step(ledger: Ledger, action_id: str, asks: Asks, take: Take, step: BulkStep) -> BulkStep:
    """Ask the API for some of the items that `step` names, and do those that it has answered for.

    Raises StoreUnavailable, LedgerBroken, and what ends the asking, see `Answered`; the action is then stopped.
    """
    given = dict(step.to_ask[:_ASKED_AT_ONCE])
    async with _kept(take):
        answered = await asks.ask(action_id, list(given))
    if said := [Said(reference, says, given[reference]) for reference, says in answered.says.items()]:
        step = await take(said)
    if answered.stop:
        await ledger.bulk.stop(action_id, answered.stop)
        if answered.error:
            raise answered.error
    return step


@asynccontextmanager
async def _kept(take: Take) -> AsyncIterator[None]:
    """Keep the lease of the action meanwhile. Where that fails, the next step tells."""

    async def keep() -> None:
        while True:
            await asyncio.sleep(_KEEP_S)
            await take(())

    keeping = asyncio.create_task(keep())
    try:
        yield
    finally:
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
