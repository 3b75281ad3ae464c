"""A pool, a settler and the batches of task messages over a real store and real HTTP, for tests."""

from __future__ import annotations

import asyncio
from typing import Any

from redis.asyncio import Redis

from tasks.api.client import SortedApi
from tasks.attempt import Attempter
from tasks.attempted import Attempted
from tasks.closure import State
from tasks.ledger.ledger import Ledger
from tasks.retry import Policy
from tests.support import key_of
from worker.attempts.batches import Batches
from worker.attempts.permission import Permission
from worker.attempts.pool import AttemptPool
from worker.attempts.settler import Settler
from worker.intake.task_message import TaskMessageDoor

LEASE_S, BUDGET_S = 20.0, 5.0
GROUPS = [f"sg_{number}" for number in range(12)]


class Works:
    """A pool over a real store and a stand-in whose replies a test may hold up."""

    def __init__(self, redis: Redis, api: SortedApi, **options: Any) -> None:
        self.redis = redis
        self.ledger = Ledger(redis)
        self.written = 0
        self.attempted: list[Attempted] = []
        self.settler = Settler(self.ledger, Permission(), self._after, [self._observe])
        attempter = Attempter(api, Policy(), worker="w1", budget_s=BUDGET_S)
        chosen = {"concurrency": 2, "lease_s": LEASE_S, "budget_s": BUDGET_S} | options
        self.pool = AttemptPool(self.ledger, attempter, self.settler, worker="w1", **chosen)
        self.batches = Batches(self.pool, TaskMessageDoor(self.ledger), asyncio.Event())
        self.running = asyncio.create_task(self.settler.run())

    def _after(self) -> None:
        self.written += 1

    def _observe(self, attempted: Attempted) -> None:
        self.attempted.append(attempted)

    async def states(self) -> dict[State, set[str]]:
        """Every group by its state."""
        found: dict[State, set[str]] = {}
        for state in State:
            listed: Any = await self.redis.zrange(key_of(state), 0, -1)
            if listed:
                found[state] = {ref.decode() for ref in listed}
        return found
