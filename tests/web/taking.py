"""What workers make of the events on a stream, and everything that the ledger then has of them."""

from __future__ import annotations

import re
from typing import Any

from redis.asyncio import Redis

from tasks.closure import Closure
from tasks.events.event_type import EventTypes
from tasks.ledger.catalogue import Query
from tasks.ledger.dead_letter import DeadLetter
from tasks.ledger.ledger import Ledger
from tests.support import STREAM
from worker.intake.fleet_types import FleetTypes
from worker.intake.pump import Pump
from worker.intake.stream import StreamSource

_ENTRY = re.compile(r"^\d+-\d+")


async def take_in(redis: Redis) -> tuple[list[Closure], list[DeadLetter]]:
    """Take in all that is on the stream; the closures, and the rejected events, the oldest first."""
    ledger = Ledger(redis)
    types = FleetTypes(ledger.policy, EventTypes())
    pump = Pump(StreamSource(ledger.events, STREAM, types), ledger, types, lambda: None)
    while await redis.xlen(STREAM):
        await pump.step()
    closures = (await ledger.catalogue.page(Query(), limit=2_000)).closures
    return closures, [one async for one in ledger.dead_letters.newest()][::-1]


def facts(closures: list[Closure], letters: list[DeadLetter]) -> dict[str, Any]:
    """What must be the same however the events came: everything but times, and the ids of entries on the stream."""
    return {
        "closures": sorted(
            (one.reference, one.source, _ENTRY.sub("ENTRY", one.event_id), str(one.custom_reference),
             str(one.event_time), str(one.traceparent))
            for one in closures
        ),
        "rejected": sorted((_ENTRY.sub("ENTRY", one.origin), one.body, one.problems) for one in letters),
    }  # fmt: skip
