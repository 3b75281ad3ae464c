"""Acting on failed closures: re-queue or discard exactly those that were chosen, in chunks, each step audited."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from tasks.closure import State
from worker.operations import audit
from worker.operations.desk import Desk
from worker.operations.filters import Selection
from worker.operations.pace import Manner

CHUNK = 200  # a few milliseconds of the store's time
# What follows one group or a few by name is told apart from what follows a filter, in each attempt's history.
_BULK = 20

Verb = Literal["requeue", "discard"]
DONE = {"requeue": "requeued", "discard": "discarded"}


@dataclass(frozen=True, slots=True)
class Frozen:
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

    def __init__(self, verb: Verb, frozen: Frozen) -> None:
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


def dry_run(verb: Verb, frozen: Frozen) -> dict[str, Any]:
    """What an action would come to, as other programs see it."""
    done = {"matched": frozen.matched, DONE[verb]: 0, "skipped": frozen.skipped, "dry_run": True}
    return done | {"eligible": len(frozen.eligible)}


async def freeze(desk: Desk, selection: Selection, *, states: frozenset[State]) -> Frozen:
    """Look up what is chosen, and which of it is in one of `states`; the others are counted by why not.

    Raises StoreUnavailable.
    """
    known = await (_named(desk, selection) if selection.references else _matching(desk, selection))
    skipped = Counter("unknown" if state is None else state.value for state in known.values() if state not in states)
    return Frozen(selection, [ref for ref, state in known.items() if state in states], dict(skipped))


async def requeue(desk: Desk, frozen: Frozen, manner: Manner, *, lock: bool = False) -> Result:
    """Queue failed closures again, each with a new deadline and its history kept.

    `lock`: lock a group that is open, and then close it. Raises StoreUnavailable; running it again does the rest.
    """
    trigger = "bulk" if len(frozen.eligible) > _BULK or not frozen.selection.references else "requeue"
    change = partial(desk.ledger.requeue, trigger=trigger, lock=lock)
    return await _in_chunks(desk, frozen, manner, Result("requeue", frozen), change, " --lock" if lock else "")


async def discard(desk: Desk, frozen: Frozen, manner: Manner) -> Result:
    """Give up failed closures for good. Raises StoreUnavailable; running it again does the rest."""
    return await _in_chunks(desk, frozen, manner, Result("discard", frozen), desk.ledger.discard)


async def _in_chunks(
    desk: Desk,
    frozen: Frozen,
    manner: Manner,
    result: Result,
    change: Callable[..., Awaitable[list[str]]],
    options: str = "",
) -> Result:
    if not frozen.matched:
        return result
    action = audit.Action(manner.by, result.verb, f"{frozen.selection}{options}", manner.why)
    audit_id = await audit.announce(desk, action, frozen.matched, frozen.skipped)
    async for chunk in manner.chunks(frozen.eligible, CHUNK):
        words = Counter(await change(chunk, audit=audit_id))
        result.changed += words.pop("done", 0)
        result.skipped.update(words)
    return result


async def _named(desk: Desk, selection: Selection) -> dict[str, State | None]:
    known: dict[str, State | None] = {}
    for start in range(0, len(selection.references), CHUNK):
        chunk = selection.references[start : start + CHUNK]
        for reference, closure in zip(chunk, await desk.ledger.read(chunk), strict=True):
            known[reference] = closure.state if closure else None
    return known


async def _matching(desk: Desk, selection: Selection) -> dict[str, State | None]:
    return {reference: state async for reference, state in desk.catalogue.references(selection.query)}
