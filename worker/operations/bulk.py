"""Re-queues or discards failed closures in bulk: exactly those that were looked up, as an action that is stored.

A crash at any place is safe. The ledger keeps the action, and whoever takes it over does the rest.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, TypeVar

from tasks.ledger.bulk_action import ActionOptions, BulkAction, BulkStart, BulkState
from tasks.ledger.values import Unreadable
from worker.operations import audit
from worker.operations.asker import Asker, must_be_able_to_ask
from worker.operations.carry import Answers, Carrier, carry, holder_of
from worker.operations.context import OperatorContext
from worker.operations.frozen import FrozenSelection
from worker.operations.operator import Verb
from worker.operations.questions import RATE
from worker.operations.replay_step import Replayer
from worker.operations.step import CouldNot, Step

T = TypeVar("T")

CHUNK = 200  # items in one step, which takes a few milliseconds of the store's time
# Attempts note the trigger `requeue` where at most this many groups were named, and else `bulk`.
_BULK = 20
_RECORDED = "recorded as closed"  # lua/bulk_step.lua has this word
DONE = {Verb.REQUEUE: "requeued", Verb.DISCARD: "discarded"}


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """How a long action goes on.

    `why`: the operator's reason, for the audit. `rate`: the most items per second, 0 for no limit. `stop`: when it is
    set, the action ends before its next chunk. `progress`: called after each chunk with the number of its items.
    `confirmed`: the count that the operator has repeated, where the guard asks for that.

    Of a stored action also: `canary`, `canary_wait_s`: see `ActionOptions`. `begun`: called with its id. `waits`: see
    `Carrier`. `detach`: leave it to the fleet from the beginning. `leave`: when it is set, it is left to the fleet.
    `ask_api`, `while_shut`: `ask`, `while_shut` of `ActionOptions`.
    """

    why: str
    rate: float = 0.0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Callable[[int], None] = lambda _: None
    confirmed: int | None = None
    canary: int = 0
    canary_wait_s: float = 600.0
    begun: Callable[[str], None] = lambda _: None
    waits: Callable[[str], None] = lambda _: None
    detach: bool = False
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    ask_api: bool = False
    while_shut: bool = False

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
    """What a bulk action came to so far.

    `matched`: how many closures were chosen. `changed`: how many were changed. `skipped`: the others by why, counted.
    `action`: as it is stored; None where nothing matched, so that there is none.
    """

    def __init__(self, frozen: FrozenSelection, action: BulkAction | None) -> None:
        self.verb = frozen.verb
        self.action = action
        self.matched = frozen.matched
        self.changed = action.changed if action else 0
        self.skipped = action.untouched if action else frozen.skipped
        self.holds = frozen.holds

    @property
    def recorded(self) -> int:
        """How many were closed at the API, and so were recorded as closed without a call."""
        return self.skipped.get(_RECORDED, 0)

    @property
    def stopped(self) -> bool:
        """Whether the action was stopped, so that some closures were not looked at."""
        return self.action is not None and self.action.state in (BulkState.STOPPED, BulkState.RECALLED)

    @property
    def goes_on(self) -> bool:
        """Whether the action is left to the fleet."""
        return self.action is not None and self.action.is_open

    def as_json(self) -> dict[str, Any]:
        """Return the result as other programs see it. The names of the fields are a promise."""
        done = {"matched": self.matched, DONE[self.verb]: self.changed, "skipped": dict(self.skipped), "dry_run": False}
        done |= {"id": self.action.id if self.action else None}
        if self.stopped or self.goes_on:
            done |= {"state": self.action and self.action.state.value}
        return done | ({"stopped": True} if self.stopped else {})


def dry_run(frozen: FrozenSelection) -> dict[str, Any]:
    """Return what the action would come to, as other programs see it. Nothing is changed."""
    done = {"matched": frozen.matched, DONE[frozen.verb]: 0, "skipped": frozen.skipped, "dry_run": True}
    return done | {"eligible": len(frozen.eligible)}


async def requeue(
    context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions, *, lock: bool = False
) -> BulkResult:
    """Queue failed closures again. Each gets a new deadline and keeps its history.

    `lock`: lock a group that is open before it is closed. Raises Refused, StoreUnavailable and LedgerBroken, and
    OlderWorkers for a canary beside workers of an older release.
    """
    trigger = "bulk" if len(frozen.eligible) > _BULK or not frozen.selection.references else "requeue"
    options = ActionOptions(trigger, lock, bulk.rate, bulk.canary, bulk.canary_wait_s)
    return await act(context, frozen, bulk, options)


async def discard(context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions) -> BulkResult:
    """Give up failed closures for good. Raises Refused, StoreUnavailable and LedgerBroken."""
    return await act(context, frozen, bulk, ActionOptions(rate=bulk.rate))


async def act(
    context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions, options: ActionOptions
) -> BulkResult:
    """Store the action, and carry it on unless it is to be detached. It is in the audit from its beginning."""
    context.guard(frozen.verb, frozen, bulk.why, confirmed=bulk.confirmed)
    if bulk.ask_api:
        context.guard(Verb.VERIFY, frozen)
        options = replace(options, ask=True, while_shut=bulk.while_shut, rate=bulk.rate or RATE)
        await _must_be_able_to_ask(context, bulk)
    return BulkResult(frozen, await begin_and_carry(context, frozen, bulk, options) if frozen.matched else None)


async def _must_be_able_to_ask(context: OperatorContext, bulk: BulkOptions) -> None:
    asker = Asker(context.ledger, context.settings)
    try:
        await must_be_able_to_ask(asker, while_shut=bulk.while_shut)
    finally:
        await asker.aclose()


class Items(Protocol):
    """What an action is to be done to, see `FrozenSelection`."""

    @property
    def verb(self) -> Verb:
        """What is done."""

    @property
    def eligible(self) -> Sequence[str]:
        """The items."""

    @property
    def entered(self) -> Mapping[str, int]:
        """The number that the ledger keeps with an item; one that is left out has 0."""

    @property
    def skipped(self) -> Mapping[str, int]:
        """Those that are not done, by why, counted."""

    @property
    def matched(self) -> int:
        """How many were chosen, eligible or not."""

    @property
    def digest(self) -> str:
        """The name of exactly this set."""

    def named(self) -> dict[str, Any]:
        """Return what was chosen, as the audit keeps it."""


async def begin_and_carry(
    context: OperatorContext,
    frozen: Items,
    bulk: BulkOptions,
    options: ActionOptions,
    answers: Callable[[Answers], None] = lambda _: None,
    *,
    strict: bool = False,
    replayer: Replayer | None = None,
) -> BulkAction:
    """Store an action that the guard allows, and carry it on unless it is to be detached.

    `answers`: see `Carrier`. `strict`, `replayer`: see `Asker`.
    """
    holder = "" if bulk.detach else holder_of(context.operator.door)
    action_id = await _begin(context, frozen, bulk.why, options, holder)
    bulk.begun(action_id)
    if not bulk.detach:
        async with carrier_of(context, bulk, holder, answers, strict=strict, replayer=replayer) as carrier:
            await carry(context.ledger, action_id, frozen.verb, carrier, len(frozen.eligible))
    return await stored(context, action_id)


@asynccontextmanager
async def carrier_of(
    context: OperatorContext,
    bulk: BulkOptions,
    holder: str,
    answers: Callable[[Answers], None] = lambda _: None,
    *,
    strict: bool = False,
    replayer: Replayer | None = None,
) -> AsyncIterator[Carrier]:
    """Have somebody carry an action for this operator, under this name.

    `answers`: see `Carrier`. `strict`, `replayer`: see `Asker`.
    """
    asker = Asker(context.ledger, context.settings, strict=strict, replayer=replayer)
    try:
        yield Carrier(holder, asker, interrupted(context), bulk.stop, bulk.leave, bulk.progress, answers, bulk.waits)
    finally:
        await asker.aclose()


def interrupted(context: OperatorContext) -> str:
    """Return why an action was stopped that this operator interrupted."""
    return f"{context.operator.signature} interrupted it"


async def stored(context: OperatorContext, action_id: str) -> BulkAction:
    """Return a stored action. Raises CouldNot when there is none, or when another program has damaged it."""
    found = await context.ledger.bulk.read(action_id)
    if found is None:
        raise CouldNot(f"no action has the id {action_id}", Step(Verb.ACTIONS))
    if isinstance(found, Unreadable):
        raise CouldNot(f"what the store holds of the action {action_id} is damaged", Step(Verb.AUDIT))
    return found


async def _begin(context: OperatorContext, frozen: Items, why: str, options: ActionOptions, holder: str) -> str:
    operator, selection = context.operator, frozen.named() | options.as_json()
    start = BulkStart(
        frozen.verb, operator.signature, operator.door, why, selection, frozen.matched, len(frozen.eligible),
        frozen.skipped, frozen.digest, options,
    )  # fmt: skip
    entry = audit.announced_by(operator, frozen.verb, selection, why).as_fields(frozen.matched, frozen.skipped)
    items = {reference: frozen.entered.get(reference, 0) for reference in frozen.eligible}
    action_id = await context.ledger.bulk.begin(start, items, holder=holder, audit=entry)
    if action_id is None:
        raise CouldNot("the store took too long to take the action in, and nothing was changed: try it again")
    return action_id
