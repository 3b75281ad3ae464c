"""Shows and discards rejected events: bytes that could not be read as an event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tasks.ledger.dead_letter import DeadLetter
from worker.operations import audit
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.operator import Verb
from worker.operations.selection import named
from worker.operations.step import CouldNot, Step

_BATCH = 200


async def newest(context: OperatorContext) -> AsyncIterator[DeadLetter]:
    """Yield every rejected event, newest first. Raises Refused and StoreUnavailable."""
    context.guard(Verb.REJECTED)
    async for one in context.ledger.dead_letters.newest():
        yield one


async def by_id(context: OperatorContext, ids: Sequence[str]) -> list[DeadLetter]:
    """Return the rejected events with these ids, each once, in the order given.

    Raises Refused, CouldNot that names an id that is not there, and StoreUnavailable.
    """
    context.guard(Verb.REJECTED, DeadLetterSelection(tuple(ids)))
    wanted = list(dict.fromkeys(ids))
    found = [await context.ledger.dead_letters.get(rejected_id) for rejected_id in wanted]
    missing = [rejected_id for rejected_id, one in zip(wanted, found, strict=True) if one is None]
    if missing:
        raise CouldNot(f"no rejected event has the id {min(missing)}", Step(Verb.REJECTED))
    return [one for one in found if one]


async def discard(context: OperatorContext, ids: Sequence[str], bulk: BulkOptions) -> int:
    """Delete rejected events with their bytes, and return how many there were. The audit keeps their ids.

    All ids must be there before the first is deleted. Raises Refused, CouldNot and StoreUnavailable.
    """
    context.guard(Verb.DISCARD_REJECTED, DeadLetterSelection(tuple(dict.fromkeys(ids))), bulk.why)
    chosen = [one.rejected_id for one in await by_id(context, ids)]
    action = audit.announced_by(context.operator, Verb.DISCARD_REJECTED, named(chosen, "rejected"), bulk.why)
    audit_id = await audit.announce(context, action, len(chosen))
    gone = seen = 0
    async for chunk in bulk.chunks(chosen, _BATCH):
        seen += len(chunk)
        gone += await context.ledger.dead_letters.dismiss(chunk, audit=audit_id)
    await audit.tell_end(context, action, audit_id, matched=len(chosen), changed=gone, stopped=seen < len(chosen))
    return gone
