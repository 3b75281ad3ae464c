"""Acting on failed closures: re-queue or discard exactly those that were chosen, in chunks, each step audited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from tasks.closure import State
from worker.operations import audit
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.selection import Selection

CHUNK = 200  # a few milliseconds of the store's time
# What follows one group or a few by name is told apart from what follows a filter, in each attempt's history.
_BULK = 20

Verb = Literal["requeue", "discard"]
DONE = {"requeue": "requeued", "discard": "discarded"}


@dataclass(frozen=True, slots=True)
class FrozenSelection:
    """What was chosen, as it was when it was looked up: nothing that comes later is acted upon."""

    selection: Selection
    eligible: list[str]
    skipped: dict[str, int]

    @property
    def matched(self) -> int:
        """How many were chosen."""
        return len(self.eligible) + sum(self.skipped.values())


class Result:
    """What an action came to."""

    def __init__(self, verb: Verb, frozen: FrozenSelection) -> None:
        self.verb = verb
        self.matched = frozen.matched
        self.changed = 0
        self.skipped = Counter(frozen.skipped)

    @property
    def stopped(self) -> bool:
        """Whether it was interrupted, and the rest was not touched."""
        return self.changed + self.skipped.total() < self.matched

    def as_json(self) -> dict[str, Any]:
        """The result as other programs see it (field names are a promise)."""
        done = {"matched": self.matched, DONE[self.verb]: self.changed, "skipped": dict(self.skipped), "dry_run": False}
        return done | ({"stopped": True} if self.stopped else {})


def dry_run(verb: Verb, frozen: FrozenSelection) -> dict[str, Any]:
    """What an action would come to, as other programs see it."""
    done = {"matched": frozen.matched, DONE[verb]: 0, "skipped": frozen.skipped, "dry_run": True}
    return done | {"eligible": len(frozen.eligible)}


async def freeze(context: OperatorContext, selection: Selection, *, states: frozenset[State]) -> FrozenSelection:
    """Look up what is chosen, and which of it is in one of `states`; the others are counted by why not.

    Raises StoreUnavailable.
    """
    known = await (_named(context, selection) if selection.references else _matching(context, selection))
    skipped = Counter("unknown" if state is None else state.value for state in known.values() if state not in states)
    return FrozenSelection(selection, [ref for ref, state in known.items() if state in states], dict(skipped))


async def requeue(
    context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions, *, lock: bool = False
) -> Result:
    """Queue failed closures again, each with a new deadline and its history kept.

    `lock`: lock a group that is open, and then close it. Raises StoreUnavailable; running it again does the rest.
    """
    trigger = "bulk" if len(frozen.eligible) > _BULK or not frozen.selection.references else "requeue"
    change = partial(context.ledger.requeue, trigger=trigger, lock=lock)
    return await _in_chunks(context, frozen, bulk, Result("requeue", frozen), change, " --lock" if lock else "")


async def discard(context: OperatorContext, frozen: FrozenSelection, bulk: BulkOptions) -> Result:
    """Give up failed closures for good. Raises StoreUnavailable; running it again does the rest."""
    return await _in_chunks(context, frozen, bulk, Result("discard", frozen), context.ledger.discard)


async def _in_chunks(
    context: OperatorContext,
    frozen: FrozenSelection,
    bulk: BulkOptions,
    result: Result,
    change: Callable[..., Awaitable[list[str]]],
    options: str = "",
) -> Result:
    if not frozen.matched:
        return result
    action = audit.Action(bulk.by, result.verb, f"{frozen.selection}{options}", bulk.why)
    audit_id = await audit.announce(context, action, frozen.matched, frozen.skipped)
    async for chunk in bulk.chunks(frozen.eligible, CHUNK):
        words = Counter(await change(chunk, audit=audit_id))
        result.changed += words.pop("done", 0)
        result.skipped.update(words)
    return result


async def _named(context: OperatorContext, selection: Selection) -> dict[str, State | None]:
    known: dict[str, State | None] = {}
    for start in range(0, len(selection.references), CHUNK):
        chunk = selection.references[start : start + CHUNK]
        for reference, closure in zip(chunk, await context.ledger.read(chunk), strict=True):
            known[reference] = closure.state if closure else None
    return known


async def _matching(context: OperatorContext, selection: Selection) -> dict[str, State | None]:
    return {reference: state async for reference, state in context.catalogue.references(selection.query)}
