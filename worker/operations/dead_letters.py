"""Shows, exports and discards rejected events: bytes that could not be read as an event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.ledger.dead_letter import DeadLetter
from worker.operations import audit
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_filter import DeadLetterFilter
from worker.operations.operator import Verb
from worker.operations.step import CouldNot, Step

_CHUNK = 200


@dataclass(frozen=True, slots=True)
class FrozenDeadLetters:
    """Rejected events as they were looked up. What comes later is not acted upon.

    `chosen` has absolute times. `ids`: oldest first, or in the order in which they were given. `events`: how often
    events like these came.
    """

    chosen: DeadLetterFilter
    ids: list[str]
    events: int

    @property
    def everything(self) -> bool:
        """Whether nothing was asked for in particular."""
        return self.chosen.everything

    @property
    def size(self) -> int | None:
        """How many would be acted upon."""
        return len(self.ids)

    def check(self) -> None:
        """Raise Refused when the choice is against a rule in itself."""
        self.chosen.check()


@dataclass(slots=True)
class DeadLettersDone:
    """What an export or a discard came to. `matched`: how many were chosen. `done`: how many of those it came to."""

    matched: int
    done: int = 0
    exported: int = 0
    discarded: int = 0

    @property
    def stopped(self) -> bool:
        """Whether it was interrupted, and the rest was not touched."""
        return self.done < self.matched

    def as_json(self) -> dict[str, Any]:
        """Return the result as other programs see it."""
        done = {"matched": self.matched, "exported": self.exported, "discarded": self.discarded, "dry_run": False}
        return done | ({"stopped": True} if self.stopped else {})


async def newest(context: OperatorContext, before: str = "") -> AsyncIterator[DeadLetter]:
    """Yield every rejected event, newest first. `before`: only those before this id.

    Raises Refused, also when that is not an id, and StoreUnavailable.
    """
    context.guard(Verb.REJECTED, DeadLetterFilter((before,)) if before else None)
    async for one in context.ledger.dead_letters.newest(before):
        yield one


async def by_id(context: OperatorContext, ids: Sequence[str]) -> list[DeadLetter]:
    """Return the rejected events with these ids, each once, in the order given.

    Raises Refused, CouldNot that names an id that is not there, and StoreUnavailable.
    """
    context.guard(Verb.REJECTED, DeadLetterFilter(tuple(ids)))
    wanted = list(dict.fromkeys(ids))
    found = [one async for one in context.ledger.dead_letters.named(wanted)]
    if missing := set(wanted) - {one.rejected_id for one in found}:
        raise CouldNot(f"no rejected event has the id {min(missing)}", Step(Verb.REJECTED))
    return found


async def freeze(context: OperatorContext, verb: Verb, chosen: DeadLetterFilter, why: str = "") -> FrozenDeadLetters:
    """Look up which rejected events are chosen.

    Raises Refused before it looks, CouldNot that names an id that is not there, and StoreUnavailable.
    """
    context.guard(verb, chosen, why)
    now_ms = await context.now_ms()
    chosen = chosen.at(now_ms)
    if chosen.ids:
        found = [(one.rejected_id, one.times) for one in await by_id(context, chosen.ids)]
    else:
        heads = context.ledger.dead_letters.heads(now_ms)
        found = [(one.rejected_id, one.times) async for one in heads if chosen.matches(one, now_ms)]
    return FrozenDeadLetters(chosen, [name for name, _ in found], sum(times for _, times in found))


async def discard(context: OperatorContext, frozen: FrozenDeadLetters, bulk: BulkOptions) -> DeadLettersDone:
    """Delete rejected events with their bytes. The audit keeps which they were.

    Raises Refused and StoreUnavailable; running it again does the rest.
    """
    return await _discard(context, frozen, bulk, None)


async def export(
    context: OperatorContext,
    frozen: FrozenDeadLetters,
    bulk: BulkOptions,
    write: Callable[[Sequence[DeadLetter]], None],
) -> DeadLettersDone:
    """Hand rejected events to `write`, some at a time, and keep them. The audit tells who exported which.

    Raises Refused, StoreUnavailable, and whatever `write` raises.
    """
    context.guard(Verb.EXPORT_REJECTED, frozen, bulk.why, confirmed=bulk.confirmed)
    result = DeadLettersDone(len(frozen.ids))
    if frozen.ids:
        action = audit.announced_by(context.operator, Verb.EXPORT_REJECTED, frozen.chosen.as_json(), bulk.why)
        await audit.announce(context, action, result.matched, {"kept": result.matched})
    async for chunk in bulk.chunks(frozen.ids, _CHUNK):
        result.exported += len(await _written(context, chunk, write))
        result.done += len(chunk)
    return result


async def export_and_discard(
    context: OperatorContext,
    frozen: FrozenDeadLetters,
    bulk: BulkOptions,
    write: Callable[[Sequence[DeadLetter]], None],
) -> DeadLettersDone:
    """Hand rejected events to `write`, and delete those that it has taken.

    `write` must return only when they are safe, for after that the ledger forgets them. A crash in between leaves them
    in both places. Raises Refused, StoreUnavailable, and whatever `write` raises; running it again does the rest.
    """
    return await _discard(context, frozen, bulk, write)


async def _discard(
    context: OperatorContext,
    frozen: FrozenDeadLetters,
    bulk: BulkOptions,
    write: Callable[[Sequence[DeadLetter]], None] | None,
) -> DeadLettersDone:
    context.guard(Verb.DISCARD_REJECTED, frozen, bulk.why, confirmed=bulk.confirmed)
    result = DeadLettersDone(len(frozen.ids))
    if not frozen.ids:
        return result
    chosen = frozen.chosen.as_json() | ({"exported": True} if write else {})
    action = audit.announced_by(context.operator, Verb.DISCARD_REJECTED, chosen, bulk.why)
    audit_id = await audit.announce(context, action, result.matched)
    async for chunk in bulk.chunks(frozen.ids, _CHUNK):
        result.exported += len(await _written(context, chunk, write)) if write else 0
        result.discarded += await context.ledger.dead_letters.dismiss(chunk, audit=audit_id)
        result.done += len(chunk)
    matched, changed, stopped = result.matched, result.discarded, result.stopped
    await audit.tell_end(context, action, audit_id, matched=matched, changed=changed, stopped=stopped)
    return result


async def _written(
    context: OperatorContext, ids: Sequence[str], write: Callable[[Sequence[DeadLetter]], None]
) -> list[str]:
    """Hand these to `write` page by page, and return the ids of those that were there."""
    written: list[str] = []
    async for page in context.ledger.dead_letters.named_pages(ids):
        write(page)
        written += [one.rejected_id for one in page]
    return written
