"""Runs a worker's components in the background, and ends them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.outage_log import OutageLog
from worker.patience import pauses, within
from worker.process.compose import Components
from worker.process.supervisor import End, Part, Supervisor

_DRAIN_S = 20.0  # calls in flight end; with what follows it stays under the 30 s that supervisors grant
_SETTLE_S = 5.0
GOODBYE_S = _DRAIN_S + _SETTLE_S + 3.0
_PRUNE_S = 60.0


class Background:
    """What a worker does for as long as its process lives."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._stopping = False

    def parts(self, opened: asyncio.Event) -> list[Part]:
        """Everything that runs for as long as the process, and how each ends. `opened`: Celery consumes."""
        own = self._components
        known = opened, own.introduced
        return [
            Part("settler", own.settler.run(), End.LAST),
            self._repeated("heartbeat", own.vitals.heartbeat),
            # These finish their step: what they hold, read but not received, due but not dispatched, would else wait
            # until somebody misses it.
            self._repeated("intake", own.intake.step, *known, end=End.FINISHES),
            self._repeated("sweep", own.sweep.step, *known, end=End.FINISHES),
            self._repeated("health", own.vitals.health, opened),
            # Before the ledger knows this worker it may be another release's, which is about to be moved.
            self._repeated("prune", self._prune, *known),
            self._repeated("inspection", own.inspection.step, *known),
        ]

    async def goodbye(self, supervisor: Supervisor) -> None:
        """In-flight calls end, what was not begun goes back at once, all is written down; then the connections."""
        own = self._components
        self._stopping = True
        own.introduced.set()  # parts that have not begun must end, too
        own.sweep.poke()
        supervisor.cancel(End.CANCELLED)
        await within(
            _DRAIN_S,
            asyncio.gather(supervisor.finished(), own.pool.drain()),
            "calls in flight did not end; their leases will",
        )
        await within(_SETTLE_S, own.settler.empty(), "the store did not take the last results; leases will end")
        supervisor.cancel(End.LAST)
        await own.vitals.goodbye()
        await within(1.0, own.api.aclose(), "connections to the API did not close")
        await within(1.0, own.redis.aclose(), "connections to the store did not close")

    def _repeated(
        self, name: str, step: Callable[[], Awaitable[None]], *after: asyncio.Event, end: End = End.CANCELLED
    ) -> Part:
        return Part(name, self._keep_going(name, step, *after), end)

    async def _keep_going(self, name: str, step: Callable[[], Awaitable[None]], *after: asyncio.Event) -> None:
        """Repeat a step until the process stops; while the store is away, wait longer and longer, and say so once."""
        for event in after:
            await event.wait()
        outages, waits = OutageLog(name), pauses()
        while not self._stopping:
            try:
                await step()
            except (StoreUnavailable, LedgerBroken) as error:
                outages.begins(error)
                await asyncio.sleep(next(waits))
            else:
                outages.ends()
                waits = pauses()

    async def _prune(self) -> None:
        forgotten = await self._components.ledger.prune(keep_s=self._components.keep_closed_s)
        await asyncio.sleep(0.1 if forgotten else _PRUNE_S)
