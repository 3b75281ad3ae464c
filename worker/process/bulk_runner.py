"""Carries on stored bulk actions that nobody carries, because their command has gone or has left them to the fleet."""

from __future__ import annotations

import asyncio

from tasks.ledger.bulk_action import BulkAction
from tasks.ledger.ledger import Ledger
from worker.operations.carry import Carrier, carry

_LOOK_S = 2.0


class BulkRunner:
    """Looks every two seconds for an action that nobody carries, and carries it on to its end.

    Another worker may look at the same time. The first step tells who carries the action, and the others go on looking.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        """`name`: the worker's name."""
        self._ledger = ledger
        self._carrier = Carrier(name, follows=False)

    async def step(self) -> None:
        """Carry on what nobody carries, then wait. Raises StoreUnavailable and LedgerBroken.

        A crash anywhere leaves the action to the next worker that looks.
        """
        for action_id in await self._ledger.bulk.free():
            found = await self._ledger.bulk.read(action_id)
            if isinstance(found, BulkAction):
                await carry(self._ledger, action_id, found.verb, self._carrier, found.left)
        await asyncio.sleep(_LOOK_S)
