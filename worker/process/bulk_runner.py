"""Carries on stored bulk actions that nobody carries, because their command has gone or has left them to the fleet."""

from __future__ import annotations

import asyncio
import time

from tasks.errors import LedgerBroken
from tasks.ledger.bulk import GOES_ON, LEASE_S
from tasks.ledger.bulk_action import BulkAction
from tasks.ledger.ledger import Ledger

_LOOK_S = 2.0
_BROKEN_S = 60.0  # so long after a step that broke its action is tried again


class BulkRunner:
    """Looks every two seconds for actions that nobody carries, and carries them on in turn, a step of each.

    So one that waits for its pace, its canary or the gate keeps no other waiting. Another worker may look at the same
    time. The first step tells who carries an action, and the others go on looking.
    """

    def __init__(self, ledger: Ledger, name: str) -> None:
        """`name`: the worker's name."""
        self._ledger = ledger
        self._name = name
        self._carried: dict[str, str] = {}  # the verb of each action
        self._next_s: dict[str, float] = {}  # when its next step is due (s, monotonic)
        self._looks_s = float("-inf")

    async def step(self) -> None:
        """Take the steps that are due, then wait for the next. Raises StoreUnavailable and LedgerBroken.

        A crash anywhere leaves the actions to the next worker that looks.
        """
        if time.monotonic() >= self._looks_s:
            await self._look()
        broken: LedgerBroken | None = None
        for action_id in [one for one in self._carried if self._next_s[one] <= time.monotonic()]:
            try:
                await self._carry(action_id)
            except LedgerBroken as error:
                broken, self._next_s[action_id] = error, time.monotonic() + _BROKEN_S
        if broken:
            raise broken
        earliest_s = min([self._looks_s, *(self._next_s[one] for one in self._carried)])
        await asyncio.sleep(max(0.0, earliest_s - time.monotonic()))

    async def _look(self) -> None:
        for action_id in await self._ledger.bulk.free():
            found = None if action_id in self._carried else await self._ledger.bulk.read(action_id)
            if isinstance(found, BulkAction):
                self._carried[action_id], self._next_s[action_id] = found.verb, 0.0
        self._looks_s = time.monotonic() + _LOOK_S

    async def _carry(self, action_id: str) -> None:
        step = await self._ledger.bulk.step(action_id, self._carried[action_id], holder=self._name)
        if step.word in GOES_ON:
            self._next_s[action_id] = time.monotonic() + min(step.wait_s, LEASE_S / 3)
        else:
            del self._carried[action_id]
