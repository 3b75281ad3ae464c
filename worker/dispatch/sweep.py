"""The sweep dispatches closures that are due: new ones, retries, and those that dead workers left."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.outage_log import OutageLog
from worker.attempts.permission import Permission

Dispatch = Callable[[list[str]], Awaitable[None]]
Probe = Callable[[str], Awaitable[None]]

BATCH = 100  # references in one message; with so many, Celery's cost of a message is small beside that of the calls
_ROUND = 500
_GRACE_S = 10.0  # a message counts as lost after this time; `most` keeps the queue so short that none waits as long
_IDLE_S = 1.0
_LINGER_S = 0.005  # the least time between two rounds: under load messages fill, and a single event does not wait


class BrokerUnavailable(Exception):
    """The broker did not take a message, or did not confirm it in time. Later it may."""


class Sweep:
    """Dispatches what is due. Any number of workers may sweep at once: the ledger gives each reference to only one."""

    def __init__(
        self, ledger: Ledger, dispatch: Dispatch, permission: Permission, *, most: int, probe: Probe | None = None
    ) -> None:
        """`dispatch` sends one task message. `most`: the most references that messages of the whole fleet may name.

        `probe` attempts one closure in this process, to find out whether the API accepts a suspended key again.
        """
        self._ledger = ledger
        self._dispatch = dispatch
        self._permission = permission
        self._probe = probe
        self._most = most
        self._poked = asyncio.Event()
        self._blocked = False
        self._broker = OutageLog("dispatch")
        self.on_their_way = 0

    def poke(self) -> None:
        """Look again at once, because something may be due now. Must be called in the loop."""
        self._poked.set()

    def made_room(self) -> None:
        """Look again at once if the last round had no room, because some work has ended."""
        if self._blocked:
            self._poked.set()

    async def step(self) -> None:
        """Dispatch what is due now, then wait until something may be due again.

        Raises StoreUnavailable and LedgerBroken.
        """
        self._poked.clear()
        started = time.monotonic()
        try:
            due = await self._ledger.due(limit=_ROUND, grace_s=_GRACE_S, most=self._most, key=self._permission.key)
        except (StoreUnavailable, LedgerBroken):
            self.on_their_way = 0  # unknown; else a store that is away would look like a stuck consumer
            raise
        self._blocked = due.next_s is None
        self.on_their_way = due.on_their_way
        self._permission.hear(*due.word)
        if due.probe and self._probe:
            await self._probe(due.probe)
        if due.references:
            await self._dispatch_all(due.references)
        else:
            await self._wait(min(_IDLE_S, _IDLE_S if due.next_s is None else due.next_s))
        await asyncio.sleep(max(0.0, started + _LINGER_S - time.monotonic()))

    async def _dispatch_all(self, references: list[str]) -> None:
        """Send references in batches. A crash here is safe: what was not sent is due again, see `lua/due.lua`."""
        for start in range(0, len(references), BATCH):
            try:
                await self._dispatch(references[start : start + BATCH])
            except BrokerUnavailable as error:
                self._broker.begins(error)
                await self._ledger.undispatch(references[start:])
                await self._wait(_IDLE_S)
                return
        self._broker.ends()

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._poked.wait()
        except TimeoutError:
            pass
