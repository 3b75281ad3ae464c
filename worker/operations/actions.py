"""Lists, shows, stops, resumes and recalls stored bulk actions."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tasks.ledger.bulk import BulkWord
from tasks.ledger.bulk_action import RECALLABLE, BulkAction, BulkState
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.values import Unreadable
from worker.operations import audit
from worker.operations.bulk import BulkOptions, carrier_of, stored
from worker.operations.carry import carry, holder_of
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.step import CouldNot, Step

_SILENT_MS = 20_000  # a worker gives a sign of life every 5 s


async def newest(context: OperatorContext, limit: int) -> AsyncIterator[BulkAction | Unreadable]:
    """Yield the last `limit` actions, newest first. One that closer did not write comes as Unreadable.

    Raises Refused and StoreUnavailable.
    """
    context.guard(Verb.ACTIONS)
    async for action in context.ledger.bulk.newest(limit):
        yield action


async def read(context: OperatorContext, action_id: str) -> BulkAction:
    """Return one action. Raises Refused, StoreUnavailable, and CouldNot when there is none with this id."""
    context.guard(Verb.ACTIONS)
    return await stored(context, action_id)


async def not_done(context: OperatorContext, action_id: str, limit: int) -> dict[str, str]:
    """Return the first `limit` items of an action that were not done, each with why. Raises as `read`."""
    context.guard(Verb.ACTIONS)
    return await context.ledger.bulk.not_done(action_id, limit)


async def anybody_works(context: OperatorContext) -> bool:
    """Return whether a worker is alive that carries on what is left to the fleet. Raises StoreUnavailable."""
    now_ms, signs = await context.ledger.heartbeats.write()
    return any(isinstance(sign, Heartbeat) and now_ms - sign.at_ms <= _SILENT_MS for sign in signs)


async def stop(context: OperatorContext, action_id: str, why: str) -> BulkAction:
    """Stop an action that goes on, until somebody resumes it. Items that were changed stay so.

    Raises Refused, StoreUnavailable, and CouldNot when there is none or when it has ended.
    """
    context.guard(Verb.STOP_ACTION, why=why)
    await _open_or_not(context, action_id, goes_on=True)
    because = f"{context.operator.signature} stopped it" + (f": {why}" if why else "")
    word = await context.ledger.bulk.stop(action_id, because, audit=_entry(context, Verb.STOP_ACTION, action_id, why))
    action = await stored(context, action_id)
    if word is not BulkWord.STOPPED:
        raise _ended(action)
    return action


async def resume(context: OperatorContext, action_id: str, bulk: BulkOptions) -> BulkAction:
    """Have a stopped action go on, and carry it on unless it is to be detached.

    A canary that has stopped it counts as decided. Raises Refused, StoreUnavailable, and CouldNot when it is not
    stopped.
    """
    context.guard(Verb.RESUME_ACTION, why=bulk.why)
    action = await _open_or_not(context, action_id, goes_on=False)
    holder = "" if bulk.detach else holder_of(context.operator.door)
    entry = _entry(context, Verb.RESUME_ACTION, action_id, bulk.why)
    word = await context.ledger.bulk.resume(action_id, holder=holder, audit=entry)
    if word is not BulkWord.RESUMED:
        raise _ended(await stored(context, action_id))
    return await _carried(context, action_id, action.verb, bulk, holder)


async def recall(context: OperatorContext, action_id: str, bulk: BulkOptions) -> BulkAction:
    """End an action, and take back what it has changed. Return the action that does this.

    Closures that were re-queued and not called since, and those that were discarded, are failed again: same reason,
    same place in time. Raises Refused, StoreUnavailable (OlderWorkers beside workers of an older release), and CouldNot
    when it cannot be recalled.
    """
    context.guard(Verb.RECALL, why=bulk.why)
    action = await stored(context, action_id)
    if action.verb not in RECALLABLE:
        step = Step(Verb.RELEASE) if action.verb == Verb.HOLD else Step(Verb.ACTIONS)
        raise CouldNot(f"action {action_id} is a {action.verb}, and only re-queues and discards can be recalled", step)
    holder = "" if bulk.detach else holder_of(context.operator.door)
    entry = _entry(context, Verb.RECALL, action_id, bulk.why)
    found = await context.ledger.bulk.recall(action_id, holder=holder, audit=entry)
    if isinstance(found, BulkWord):
        raise CouldNot(f"action {action_id} was recalled already", Step(Verb.ACTIONS))
    return await _carried(context, found, Verb.RECALL, bulk, holder)


async def _carried(context: OperatorContext, action_id: str, verb: str, bulk: BulkOptions, holder: str) -> BulkAction:
    bulk.begun(action_id)
    action = await stored(context, action_id)
    if not holder:
        return action
    async with carrier_of(context, bulk, holder) as carrier:
        await carry(context.ledger, action_id, verb, carrier, action.left)
    return await stored(context, action_id)


async def _open_or_not(context: OperatorContext, action_id: str, *, goes_on: bool) -> BulkAction:
    """Return the action if it goes on, or if it is stopped. Raises CouldNot if it is not so."""
    action = await stored(context, action_id)
    if not (action.is_open if goes_on else action.state is BulkState.STOPPED):
        raise _ended(action)
    return action


def _ended(action: BulkAction) -> CouldNot:
    return CouldNot(f"action {action.id} is {action.state}", Step(Verb.ACTIONS))


def _entry(context: OperatorContext, verb: Verb, action_id: str, why: str) -> dict[str, Any]:
    entry = audit.announced_by(context.operator, verb, {"action": action_id}, why)
    fields = entry.as_fields(1)
    return {
        name: value for name, value in fields.items() if verb is not Verb.RECALL or name not in ("matched", "skipped")
    }
