"""Events from a Redis stream: any program that can XADD is a source."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from tasks.errors import LedgerBroken
from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection
from tasks.events.event_type import EventTypes
from tasks.ledger.event_stream import Entry
from tasks.ledger.ledger import Ledger
from tasks.ledger.sift import sift
from worker.intake import entry
from worker.intake.type_watch import TypeWatch

_log = logging.getLogger("closer.intake")
_BATCH = 500
_BATCH_FIRST, _BATCH_BYTES = 50, 16 * 1024 * 1024
# An entry may hold a thousand events, or a mebibyte of them: so many, more or less, are taken in at a time.
_PORTION_EVENTS, _PORTION_BYTES = 500, 1024 * 1024
_BLOCK_MS = 1_000
_ABANDONED_MS = 15_000
_LOOK_FOR_ABANDONED_S = 10.0
_TRIM_S = 5.0


class StreamIntake:
    """Takes events off the stream into the ledger. `received` is called when there is something to dispatch."""

    def __init__(self, ledger: Ledger, stream: str, types: EventTypes, received: Callable[[], None]) -> None:
        self._ledger = ledger
        self._stream = stream
        self._types = types
        self._watch = TypeWatch(types)
        self._received = received
        self._looked = self._trimmed = float("-inf")
        self._batch = _BATCH_FIRST

    async def step(self) -> None:
        """Take in what there is, waiting up to a second for it. Raises StoreUnavailable and LedgerBroken.

        A crash between receiving and acknowledging delivers the entry again, and the ledger finds a duplicate.
        """
        await self._take(await self._abandoned())
        await self._take(await self._ledger.events.read(self._stream, count=self._batch, block_ms=_BLOCK_MS))
        await self._trim()

    async def _abandoned(self) -> list[Entry]:
        """Entries that a worker read and left: it died, or could not reach the store."""
        if time.monotonic() - self._looked < _LOOK_FOR_ABANDONED_S:
            return []
        left = await self._ledger.events.abandoned(self._stream, count=self._batch, idle_ms=_ABANDONED_MS)
        if len(left) < self._batch:
            self._looked = time.monotonic()
        return left

    async def _take(self, entries: list[Entry]) -> None:
        """Receive the events, keep what is none, and only then acknowledge: a crash in between repeats, and loses none.

        What comes again is found to be a duplicate by the ledger, and is put aside once.
        """
        self._batch = _next_batch(entries) or self._batch
        for portion in self._portions(entries):
            elements = [element for _, held in portion for element in held]
            unreceived = await self._receive([one for one in elements if isinstance(one.event, GroupComplete)])
            await self._ledger.dead_letters.keep([*elements, *unreceived])
            await self._ledger.events.take_off(self._stream, [entry_id for entry_id, _ in portion])
            await self._tell_types(elements)

    def _portions(self, entries: list[Entry]) -> Iterator[list[tuple[bytes, list[Element]]]]:
        portion: list[tuple[bytes, list[Element]]] = []
        events = size = 0
        for entry_id, fields in entries:
            held = entry.read(entry_id.decode(), fields, stream=self._stream, types=self._types)
            portion.append((entry_id, held))
            events += len(held)
            size += sum(len(element.body) for element in held)
            if events >= _PORTION_EVENTS or size >= _PORTION_BYTES:
                yield portion
                portion, events, size = [], 0, 0
        if portion:
            yield portion

    async def _receive(self, elements: Sequence[Element]) -> list[Element]:
        """Receive events; returns those that the ledger cannot take, as rejections: one must not hold up the others."""
        broken: list[Element] = []

        async def receive(some: Sequence[Element]) -> None:
            await self._ledger.receive([one.event for one in some if isinstance(one.event, GroupComplete)])

        async def fails(element: Element, error: LedgerBroken) -> None:
            _log.error("the event %s cannot be received, and is kept as rejected: %s", element.identity, error)
            broken.append(replace(element, event=Rejection((f"event: it cannot be received; {error}",))))

        if elements:
            await sift(elements, receive, fails)
            self._received()
        return broken

    async def _tell_types(self, elements: Sequence[Element]) -> None:
        if news := self._watch.look(elements):
            await self._ledger.events.seen(news)

    async def _trim(self) -> None:
        """Other consumer groups read on while no event comes: delete what they no longer need."""
        if time.monotonic() - self._trimmed >= _TRIM_S:
            await self._ledger.events.take_off(self._stream, [])
            self._trimmed = time.monotonic()


def _next_batch(entries: list[Entry]) -> int:
    """How many entries to read at a time, so that large ones fit into memory; 0: nothing is known."""
    size = sum(len(value) for _, fields in entries for value in (fields or {}).values())
    return max(1, min(_BATCH, _BATCH_BYTES * len(entries) // size)) if size else 0
