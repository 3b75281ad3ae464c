"""Carries on stored bulk actions that nobody carries, because their command has gone or has left them to the fleet."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from functools import partial

from tasks.errors import CloserError, LedgerBroken, StoreUnavailable
from tasks.ledger.bulk import GOES_ON, LEASE_S, BulkStep, Said
from tasks.ledger.bulk_action import BulkAction
from tasks.ledger.ledger import Ledger
from worker.operations.asked_step import Asks, ask_and_step

_log = logging.getLogger("closer.bulk_runner")
_LOOK_S = 2.0
_BROKEN_S = 60.0  # so long after a step that broke its action is tried again


class BulkRunner:
    """Looks every two seconds for actions that nobody carries, and carries them on in turn, a step of each.

    So one that waits for its pace, its canary or the gate keeps no other waiting. Another worker may look at the same
    time. The first step tells who carries an action, and the others go on looking. An action that asks the API has a
    task of its own, because the API may be slow.
    """

    def __init__(self, ledger: Ledger, name: str, asks: Asks) -> None:
        """`name`: the worker's name. `asks`: asks the API where an action needs that."""
        self._ledger = ledger
        self._name = name
        self._asks = asks
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._carried: dict[str, str] = {}  # the verb of each action
        self._next_s: dict[str, float] = {}  # when its next step is due (s, monotonic)
        self._looks_s = float("-inf")

    async def step(self) -> None:
        """Take the steps that are due, then wait for the next. Raises StoreUnavailable and LedgerBroken.

        A crash anywhere leaves the actions to the next worker that looks.
        """
        try:
            await self._in_turn()
        except asyncio.CancelledError:
            for task in self._asking.values():
                task.cancel()
            raise

    async def _in_turn(self) -> None:
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
            known = action_id in self._carried or action_id in self._asking
            found = None if known else await self._ledger.bulk.read(action_id)
            if isinstance(found, BulkAction):
                self._carried[action_id], self._next_s[action_id] = found.verb, 0.0
        self._looks_s = time.monotonic() + _LOOK_S

    async def _carry(self, action_id: str) -> None:
        verb = self._carried[action_id]
        step = await self._take(action_id, verb, ())
        if step.to_ask:
            del self._carried[action_id]
            self._asking[action_id] = asyncio.create_task(self._ask(action_id, verb, step))
        elif step.word in GOES_ON:
            self._next_s[action_id] = time.monotonic() + min(step.wait_s, LEASE_S / 3)
        else:
            del self._carried[action_id]

    async def _take(self, action_id: str, verb: str, said: Sequence[Said]) -> BulkStep:
        return await self._ledger.bulk.step(action_id, verb, holder=self._name, said=said)

    async def _ask(self, action_id: str, verb: str, step: BulkStep) -> None:
        """Carry on an action that asks the API, until it ends, or is carried by another one, or the store fails."""
        take = partial(self._take, action_id, verb)
        try:
            while step.word in GOES_ON:
                if step.to_ask:
                    step = await ask_and_step(self._ledger, action_id, self._asks, take, step)
                await asyncio.sleep(min(step.wait_s, LEASE_S / 3))
                step = await take(())
        except (StoreUnavailable, LedgerBroken) as error:
            _log.info("action %s is left for now: %s", action_id, error)  # it is found again when its lease ends
        except CloserError as error:
            _log.warning("action %s was stopped: %s", action_id, error)
        finally:
            del self._asking[action_id]
