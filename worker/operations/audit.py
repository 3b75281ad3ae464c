"""Announces operators' actions in the audit, tells their end, and reads what operators did.

A crash after the announcement is safe: each step adds what it changes to the entry, so the entry shows how far the
action came.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.ledger.audit import Announced, AuditEntry
from tasks.ledger.notices import NoticeKind
from tasks.ledger.values import Unreadable
from worker.operations.context import OperatorContext
from worker.operations.operator import Operator, Verb


def announced_by(operator: Operator, verb: Verb, selection: dict[str, Any], why: str) -> Announced:
    """Return what this operator is about to do. `selection`: as JSON, with the action's options."""
    return Announced(operator.signature, verb.value, selection, why, operator.door)


async def announce(
    context: OperatorContext, action: Announced, matched: int, skipped: dict[str, int] | None = None
) -> str:
    """Write down what is about to be done, and return the entry's id.

    `matched`: how many were chosen. `skipped`: those that will not be changed, by why. The steps that follow add to the
    entry what they change. Raises StoreUnavailable and LedgerBroken.
    """
    return await context.ledger.audit.announce(action, matched, skipped)


async def tell_end(
    context: OperatorContext, action: Announced, audit_id: str, *, matched: int, changed: int, stopped: bool
) -> None:
    """Write a notice that a bulk action has ended, or was stopped before its end.

    Everything is done by now. So a store that fails here is ignored, or the action would look as if it had failed.
    """
    fields = {
        "action": action.action, "by": action.name, "why": action.why, "id": audit_id, "matched": matched,
        "changed": changed, "stopped": stopped,
    }  # fmt: skip
    with suppress(StoreUnavailable, LedgerBroken):
        await context.ledger.notices.tell(NoticeKind.ACTION_ENDED, fields)


async def entries(
    context: OperatorContext, *, since_ms: int = 0, before: str = ""
) -> AsyncIterator[AuditEntry | Unreadable]:
    """Yield every action since `since_ms` (ms since the epoch), newest first. `before`: only those before this id.

    It reads what comes after that id all the same, because that has the results of the ones before. An entry that
    another program wrote comes as Unreadable. Raises Refused and StoreUnavailable.
    """
    context.guard(Verb.AUDIT)
    end = _order(before) if before else None
    async for entry in context.ledger.audit.entries(since_ms=since_ms):
        if end is None or _order(entry.name) < end:
            yield entry


def _order(entry_id: str) -> tuple[int, int]:
    """Return what the ids of a stream are ordered by."""
    at_ms, _, number = entry_id.partition("-")
    return int(at_ms), int(number)
