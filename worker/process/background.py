"""Runs a worker's components as background tasks, and ends them in order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.outage_log import OutageLog
from worker.patience import pauses, within
from worker.process.compose import Components
from worker.process.supervisor import End, Part, Supervisor

_DRAIN_S = 20.0  # for calls in flight to end; all of GOODBYE_S stays under the 30 s that supervisors grant
_SETTLE_S = 5.0
GOODBYE_S = _DRAIN_S + _SETTLE_S + 3.0


class Background:
    """The background tasks of a worker, from its start to its goodbye."""

    def __init__(self, components: Components) -> None:
        self._components = components
        self._stopping = False

    def parts(self, opened: asyncio.Event) -> list[Part]:
        """Return the tasks that run for as long as the process. `opened` is set when Celery consumes."""
        own = self._components
        known = opened, own.introduced
        alerts = [self._repeated("alerts", own.notifier.step, *known)] if own.notifier else []
        return [
            *alerts,
            Part("settler", own.settler.run(), End.LAST),
            Part("unwritten results", own.settler.watch(), End.LAST),
            self._repeated("heartbeat", own.vitals.heartbeat),
            # These two finish their step. They hold events that are read but not received, and references that are
            # due but not dispatched. A crash here loses none of them, but each then waits until another worker takes
            # it over.
            self._repeated("intake", own.intake.step, *known, end=End.FINISHES),
            self._repeated("sweep", own.sweep.step, *known, end=End.FINISHES),
            self._repeated("health", partial(own.vitals.health, opened)),
            # Until the ledger knows this worker, the ledger of an older release may still have to be moved.
            self._repeated("prune", own.retention.step, *known),
            self._repeated("inspection", own.inspection.step, *known),
            self._repeated("asking", own.asking.step, *known),
            self._repeated("bulk actions", own.bulk_runner.step, *known),
        ]

    async def goodbye(self, supervisor: Supervisor) -> None:
        """End the worker in order, within `GOODBYE_S` seconds.

        Calls in flight end, claims that were not begun are given back, and all results are written. Then the
        connections are closed. When a time-out cuts this short, nothing is lost: the leases end, and other workers
        attempt those groups again.
        """
        own = self._components
        self._stopping = True
        own.introduced.set()  # wakes the tasks that wait for it, so that they end, too
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
        if own.notifier:
            await within(1.0, own.notifier.aclose(), "the connection to the webhook did not close")
        await within(1.0, own.api.aclose(), "connections to the API did not close")
        await within(1.0, own.redis.aclose(), "connections to the store did not close")

    def _repeated(
        self, name: str, step: Callable[[], Awaitable[None]], *after: asyncio.Event, end: End = End.CANCELLED
    ) -> Part:
        return Part(name, self._keep_going(name, step, *after), end)

    async def _keep_going(self, name: str, step: Callable[[], Awaitable[None]], *after: asyncio.Event) -> None:
        """Repeat a step until the process stops. While the store fails, log that once and wait longer each time."""
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
