"""Re-queues or discards failed closures in bulk: exactly those that were looked up, in chunks, each step audited.

A crash between two chunks is safe. The audit has what was changed so far, and running the action again does the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar

from tasks.ledger.values import Operated
from worker.operations import audit
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection
from worker.operations.operator import Verb

T = TypeVar("T")

CHUNK = 200  # closures in one step, which takes a few milliseconds of the store's time
# Attempts note the trigger `requeue` where at most this many groups were named, and else `bulk`.
_BULK = 20
DONE = {Verb.REQUEUE: "requeued", Verb.DISCARD: "discarded"}


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How a long action goes on.

    `why`: the operator's reason, for the audit. `rate`: the most items per second, 0 for no limit. `stop`: when it is
    set, the action ends before its next chunk. `progress`: called after each chunk with the number of its items.
    `confirmed`: the count that the operator has repeated, where the guard asks for that.
    """

    why: str
    rate: float = 0.0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Callable[[int], None] = lambda _: None
    confirmed: int | None = None

    async def chunks(self, items: Sequence[T], most: int) -> AsyncIterator[Sequence[T]]:
        """Yield the items in chunks of at most `most`, no faster than the rate allows. End early when told to stop.

        With a rate a chunk has no more items than one second allows.
        """
        size = max(1, min(most, int(self.rate))) if self.rate else most
        due = time.monotonic()
        for start in range(0, len(items), size):
            if await self._stopped(due - time.monotonic()):
                return
            chunk = items[start : start + size]
            yield chunk
            self.progress(len(chunk))
            due += len(chunk) / self.rate if self.rate else 0.0

    async def _stopped(self, wait_s: float) -> bool:
        """Wait so many seconds, or until told to stop. Return whether that was told."""
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.stop.wait()
        return self.stop.is_set()


class BulkResult:
    """What a bulk action came to.

    `matched`: how many closures were chosen. `changed`: how many were changed. `skipped`: the others by why, counted.
    """

    def __init__(self, verb: Verb, frozen: FrozenSelection) -> None:
        self.verb = verb
        self.matched = frozen.matched
        self.changed = 0
        self.skipped = Counter(frozen.skipped)
        self.holds = frozen.holds

    @property
    def stopped(self) -> bool:
        """Whether the action was interrupted, so that some closures were not looked at."""
        return self.changed + self.skipped.total() < self.matched

    def as_json(self) -> dict[str, Any]:
        """Return the result as other programs see it. The names of the fields are a promise."""
        done = {"matched": self.matched, DONE[self.verb]: self.changed, "skipped": dict(self.skipped), "dry_run": False}
        return done | ({"stopped": True} if self.stopped else {})


def dry_run(frozen: FrozenSelection) -> dict[str, Any]:
    """Return what the action would come to, as other programs see it. Nothing is changed."""
    done = {"matched": frozen.matched, DONE[frozen.verb]: 0, "skipped": frozen.skipped, "dry_run": True}
    return done | {"eligible": len(frozen.eligible)}


async def requeue(
    context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions, *, lock: bool = False
) -> BulkResult:
    """Queue failed closures again. Each gets a new deadline and keeps its history.

    `lock`: lock a group that is open before it is closed. Raises Refused, StoreUnavailable and LedgerBroken. When it is
    interrupted, running it again does the rest.
    """
    trigger = "bulk" if len(frozen.eligible) > _BULK or not frozen.selection.references else "requeue"
    change = partial(context.ledger.requeue, trigger=trigger, lock=lock)
    return await _in_chunks(context, Verb.REQUEUE, frozen, bulk, change, {"lock": True} if lock else {})


async def discard(context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions) -> BulkResult:
    """Give up failed closures for good.

    Raises Refused, StoreUnavailable and LedgerBroken. When it is interrupted, running it again does the rest.
    """
    return await _in_chunks(context, Verb.DISCARD, frozen, bulk, context.ledger.discard, {})


async def _in_chunks(
    context: OperatorContext,
    verb: Verb,
    frozen: FrozenSelection,
    bulk: BulkOptions,
    change: Callable[..., Awaitable[list[Operated]]],
    options: dict[str, Any],
) -> BulkResult:
    """Announce the action in the audit, then change chunk after chunk. Each step counts there what it changed."""
    context.guard(verb, frozen, bulk.why, confirmed=bulk.confirmed)
    result = BulkResult(verb, frozen)
    if not frozen.matched:
        return result
    action = audit.announced_by(context.operator, verb, frozen.named() | options, bulk.why)
    audit_id = await audit.announce(context, action, frozen.matched, frozen.skipped)
    async for chunk in bulk.chunks(frozen.eligible, CHUNK):
        done = await change(chunk, audit=audit_id)
        result.changed += done.count(Operated.DONE)
        result.skipped.update(one.value for one in done if one is not Operated.DONE)
    matched, changed, stopped = result.matched, result.changed, result.stopped
    await audit.tell_end(context, action, audit_id, matched=matched, changed=changed, stopped=stopped)
    return result
