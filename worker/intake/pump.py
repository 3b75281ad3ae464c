"""The pump takes deliveries from a source, has each event received or kept, and only then acknowledges them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from tasks.events.batch import Element
from tasks.events.event import GroupComplete
from tasks.ledger.ledger import Ledger
from worker.intake.fleet_types import FleetTypes
from worker.intake.receive import receive_or_reject
from worker.intake.source import Delivery, Source
from worker.intake.type_watch import TypeWatch

_BATCH = 500
_BATCH_FIRST, _BATCH_BYTES = 50, 16 * 1024 * 1024
# A delivery may hold a thousand events or a mebibyte of them. A portion ends when it reaches one of these limits.
_PORTION_EVENTS, _PORTION_BYTES = 500, 1024 * 1024

Portion = list[tuple[Delivery, list[Element]]]


class Pump:
    """Takes events from one source into the ledger."""

    def __init__(self, source: Source, ledger: Ledger, types: FleetTypes, received: Callable[[], None]) -> None:
        """`types`: those that the fleet goes by. `received` is called after events were received."""
        self._source = source
        self._ledger = ledger
        self._types = types
        self._watch = TypeWatch(types)
        self._received = received
        self._batch = _BATCH_FIRST

    async def step(self) -> None:
        """Take in the next deliveries. Raises StoreUnavailable and LedgerBroken.

        After a crash or an error before the acknowledgement, the source delivers them again. That is safe: the ledger
        recognises an event that it has received, and keeps each rejected event once.
        """
        await self._types.look()
        deliveries = await self._source.read(self._batch)
        self._batch = _next_batch(deliveries) or self._batch
        for portion in _portions(deliveries):
            elements = [element for _, held in portion for element in held]
            unreceived = await receive_or_reject(self._ledger, elements)
            if any(isinstance(element.event, GroupComplete) for element in elements):
                self._received()
            await self._ledger.dead_letters.keep([*elements, *unreceived])
            await self._source.ack([delivery for delivery, _ in portion])
            await self._tell_types(elements)

    async def _tell_types(self, elements: Sequence[Element]) -> None:
        if news := self._watch.look(elements):
            await self._ledger.events.seen(news)


def _portions(deliveries: Sequence[Delivery]) -> Iterator[Portion]:
    """Yield the deliveries and their elements in portions, each of which is received in one step."""
    portion: Portion = []
    events = size = 0
    for delivery in deliveries:
        held = delivery.elements()
        portion.append((delivery, held))
        events += len(held)
        size += delivery.size
        if events >= _PORTION_EVENTS or size >= _PORTION_BYTES:
            yield portion
            portion, events, size = [], 0, 0
    if portion:
        yield portion


def _next_batch(deliveries: Sequence[Delivery]) -> int:
    """Return how many deliveries to read next, so that they fit into memory. 0 when their size is not known."""
    size = sum(delivery.size for delivery in deliveries)
    return max(1, min(_BATCH, _BATCH_BYTES * len(deliveries) // size)) if size else 0
