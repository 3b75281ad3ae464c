"""A Redis stream as a source of events: any program that can XADD writes to it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from functools import partial

from tasks.ledger.event_stream import Entry, EventStreams
from worker.intake import entry
from worker.intake.fleet_types import FleetTypes
from worker.intake.source import Delivery

_BLOCK_MS = 1_000
_ABANDONED_MS = 15_000
_LOOK_FOR_ABANDONED_S = 10.0
_TRIM_S = 5.0


class StreamSource:
    """The entries of one stream as deliveries, see `Source`."""

    def __init__(self, events: EventStreams, stream: str, types: FleetTypes) -> None:
        """`stream`: the stream's name. `types`: those that the fleet goes by."""
        self._events = events
        self._stream = stream
        self._types = types
        self._looked = self._trimmed = float("-inf")

    async def read(self, limit: int) -> list[Delivery]:
        """Return up to `limit` entries that a worker read and left, or else new ones. Waits up to a second for one.

        Raises StoreUnavailable and LedgerBroken.
        """
        await self._trim()
        left = await self._abandoned(limit)
        entries = left or await self._events.read(self._stream, count=limit, block_ms=_BLOCK_MS)
        return [self._delivery(one) for one in entries]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge the entries, and delete those that no other consumer group needs. Raises as `read`."""
        await self._events.take_off(self._stream, [delivery.tag for delivery in deliveries])

    async def _abandoned(self, limit: int) -> list[Entry]:
        """Return entries that a worker read long ago and left, because it died or could not reach the store."""
        if time.monotonic() - self._looked < _LOOK_FOR_ABANDONED_S:
            return []
        left = await self._events.abandoned(self._stream, count=limit, idle_ms=_ABANDONED_MS)
        if len(left) < limit:
            self._looked = time.monotonic()
        return left

    async def _trim(self) -> None:
        """Delete entries that other consumer groups no longer need. They may read on while no new event comes."""
        if time.monotonic() - self._trimmed >= _TRIM_S:
            await self._events.take_off(self._stream, [])
            self._trimmed = time.monotonic()

    def _delivery(self, one: Entry) -> Delivery:
        entry_id, fields = one
        size = sum(len(value) for value in (fields or {}).values())
        read = partial(entry.read, entry_id.decode(), fields, stream=self._stream, types=self._types.now)
        return Delivery(entry_id, size, read)
