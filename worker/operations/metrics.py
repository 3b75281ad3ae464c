"""The fleet's metrics as Prometheus reads them. docs/monitoring.md says what each means."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, generate_latest

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.outage_log import OutageLog
from worker.operations.context import OperatorContext
from worker.operations.metric_families import Families, families, families_of_the_store
from worker.operations.operator import Verb
from worker.operations.snapshot import Snapshot, take

FRESH_S = 1.0  # a snapshot counts for so long, however many ask
PATIENCE_S = 0.8  # a scrape must not wait for a store that is away
_log = logging.getLogger("closer.metrics")


class FleetMetrics:
    """The last snapshot of one fleet, shared by all who ask, any number of them at the same time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: returns monotonic seconds; another one is for tests."""
        self._clock = clock
        self._turn = asyncio.Lock()
        self._asked_s = float("-inf")
        self._up = False
        self._snapshot: Snapshot | None = None
        self._taken_s = 0.0
        self._outages = OutageLog("metrics")

    async def text(self, context: OperatorContext) -> bytes:
        """Return the metrics in Prometheus's text format, within a second.

        While the store is away, `closer_store_up` is 0 and the others are those of the last snapshot. Raises Refused.
        """
        context.guard(Verb.STATUS)  # the snapshot may be another one's
        async with self._turn:
            if self._clock() - self._asked_s >= FRESH_S:
                await self._look(context)
                self._asked_s = self._clock()
        found = families_of_the_store(up=self._up, age_s=self._age_s)
        if self._snapshot:
            found += families(self._snapshot)
        return _text(found)

    @property
    def up(self) -> bool:
        """Whether the store answered when it was asked last."""
        return self._up

    @property
    def _age_s(self) -> float | None:
        return self._clock() - self._taken_s if self._snapshot else None

    async def _look(self, context: OperatorContext) -> None:
        self._up = False
        try:
            async with asyncio.timeout(PATIENCE_S):
                self._snapshot = await take(context)
        except (StoreUnavailable, LedgerBroken, TimeoutError) as error:
            self._outages.begins(error)
            return
        self._up, self._taken_s = True, self._clock()
        self._outages.ends()


async def fleet_metrics(context: OperatorContext) -> bytes:
    """Return the fleet's metrics once, see `FleetMetrics`. What asks again and again keeps one of these instead."""
    return await FleetMetrics().text(context)


class _Collector:
    def __init__(self, found: Families) -> None:
        self._found = found

    def collect(self) -> Families:
        """Return the families, as the library asks for them."""
        return self._found


def _text(found: Families) -> bytes:
    registry = CollectorRegistry()
    registry.register(_Collector(found))
    return generate_latest(registry)
