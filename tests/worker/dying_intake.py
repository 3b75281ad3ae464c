"""An intake in a process of its own that is killed at one point: `python -m … STORE_URL POINT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from redis.asyncio import Redis

from tasks.events.batch import Element
from tasks.events.event import Event
from tasks.events.event_type import EventTypes
from tasks.ledger.dead_letters import DeadLetters
from tasks.ledger.ledger import Ledger
from tasks.ledger.tally import Intake
from tasks.ledger.values import Received
from worker.intake.fleet_types import FleetTypes
from worker.intake.pump import Pump
from worker.intake.stream import StreamSource


class Death:
    """SIGKILL for this process right before or right after one of the ledger's steps."""

    def __init__(self, point: str) -> None:
        self._point = point

    def at(self, point: str) -> None:
        """End here, if this is the point."""
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


class DyingLedger(Ledger):
    """A ledger whose process may die at receiving events, and at keeping rejected ones."""

    def __init__(self, redis: Redis, death: Death) -> None:
        super().__init__(redis)
        self._death = death
        self.dead_letters = DyingDeadLetters(self.dead_letters, death)

    async def receive(self, events: Sequence[Event], *, intake: Intake = Intake.STREAM) -> list[Received]:
        """Receive, and perhaps die."""
        self._death.at("receive")
        received = await super().receive(events, intake=intake)
        self._death.at("received")
        return received


class DyingDeadLetters(DeadLetters):
    """Dead letters whose process may die at keeping some."""

    def __init__(self, real: DeadLetters, death: Death) -> None:
        super().__init__(real._scripts)
        self._death = death

    async def keep(self, elements: Sequence[Element], *, unique: bool = True) -> int:
        """Keep, and perhaps die."""
        self._death.at("reject")
        kept = await super().keep(elements, unique=unique)
        self._death.at("rejected")
        return kept


async def main(url: str, point: str) -> None:
    """Take in once; the point must be come to."""
    async with Redis.from_url(url) as redis:
        ledger = DyingLedger(redis, Death(point))
        types = FleetTypes(ledger.policy, EventTypes())
        source = StreamSource(ledger.events, "shipment-groups.complete", types)
        await Pump(source, ledger, types, lambda: None).step()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
