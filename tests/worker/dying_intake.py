"""An intake in a process of its own that is killed at one point: `python -m … STORE_URL POINT`."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Sequence

from redis.asyncio import Redis

from tasks.events.batch import Element
from tasks.events.event import GroupComplete
from tasks.events.event_type import EventTypes
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Received
from worker.intake.stream import StreamIntake


class DyingLedger(Ledger):
    """A ledger whose process gets SIGKILL right before or right after one of its steps."""

    point = ""

    def die_at(self, point: str) -> None:
        """End here, if this is the point."""
        if point == self.point:
            os.kill(os.getpid(), signal.SIGKILL)

    async def receive(self, events: Sequence[GroupComplete]) -> list[Received]:
        """Receive, and perhaps die."""
        self.die_at("receive")
        received = await super().receive(events)
        self.die_at("received")
        return received

    async def keep_rejected(self, elements: Sequence[Element]) -> int:
        """Keep, and perhaps die."""
        self.die_at("reject")
        kept = await super().keep_rejected(elements)
        self.die_at("rejected")
        return kept


async def main(url: str, point: str) -> None:
    """Take in once; the point must be come to."""
    async with Redis.from_url(url) as redis:
        ledger = DyingLedger(redis)
        ledger.point = point
        await StreamIntake(redis, ledger, "shipment-groups.complete", EventTypes(), lambda: None).step()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
