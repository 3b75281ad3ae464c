"""Exports the audit, and shortens it by what was exported. Nothing else ever removes an entry."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.ledger.audit import AuditEntry
from tasks.ledger.entries import written_ms
from tasks.ledger.values import Unreadable
from worker.operations import audit
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.moment import Moment
from worker.operations.operator import Verb
from worker.operations.refusal import Refused, Rule

_CHUNK = 200
_DAY_MS = 86_400_000  # an action that was announced so lately may still go on, and add to its entry
Write = Callable[[Sequence[AuditEntry | Unreadable]], None]


@dataclass(frozen=True, slots=True)
class AuditPart:
    """The entries of the audit up to a time. `until_ms`: ms since the epoch. `matched`: how many they are."""

    until_ms: int
    matched: int


@dataclass(slots=True)
class AuditExported:
    """What an export came to: how many entries were chosen, written, and removed."""

    matched: int
    exported: int = 0
    removed: int = 0

    @property
    def stopped(self) -> bool:
        """Whether it was interrupted, and the rest was not touched."""
        return self.exported < self.matched

    def as_json(self) -> dict[str, Any]:
        """Return the result as other programs see it."""
        done = {"matched": self.matched, "exported": self.exported, "removed": self.removed, "dry_run": False}
        return done | ({"stopped": True} if self.stopped else {})


async def choose(context: OperatorContext, verb: Verb, until: Moment | None, why: str = "") -> AuditPart:
    """Count the entries that were announced by then; all of them without a time.

    Raises Refused before it looks: to shorten the audit takes a time, and one at least a day ago. Raises
    StoreUnavailable.
    """
    context.guard(verb, why=why)
    now_ms = await context.now_ms()
    until_ms = until.ms(now_ms) if until else now_ms
    if verb is Verb.SHORTEN_AUDIT and until_ms > now_ms - _DAY_MS:
        text = (
            "the audit keeps what was done within the last day, because an action may still go on: say an earlier time"
        )
        raise Refused(Rule.TOO_RECENT, text)
    part = AuditPart(until_ms, 0)
    return AuditPart(until_ms, sum([len(chunk) async for chunk in _chunks(context, part)]))


async def export(context: OperatorContext, part: AuditPart, bulk: BulkOptions, write: Write) -> AuditExported:
    """Hand the entries to `write`, the newest first, and keep them.

    Raises Refused, StoreUnavailable, and whatever `write` raises.
    """
    context.guard(Verb.AUDIT, why=bulk.why)
    return await _export(context, part, bulk, write, "")


async def shorten(context: OperatorContext, part: AuditPart, bulk: BulkOptions, write: Write) -> AuditExported:
    """Hand the entries to `write`, the newest first, and remove those that it has taken. The audit tells who did that.

    `write` must return only when they are safe. A crash in between leaves them in both places. Raises Refused,
    StoreUnavailable, and as `write`; running it again does the rest.
    """
    context.guard(Verb.SHORTEN_AUDIT, why=bulk.why)
    if not part.matched:
        return AuditExported(0)
    selection = {"until": Moment.at(part.until_ms).text}
    action = audit.announced_by(context.operator, Verb.SHORTEN_AUDIT, selection, bulk.why)
    audit_id = await audit.announce(context, action, part.matched)
    result = await _export(context, part, bulk, write, audit_id)
    matched, changed, stopped = part.matched, result.removed, result.stopped
    await audit.tell_end(context, action, audit_id, matched=matched, changed=changed, stopped=stopped)
    return result


async def _export(
    context: OperatorContext, part: AuditPart, bulk: BulkOptions, write: Write, audit_id: str
) -> AuditExported:
    result = AuditExported(part.matched)
    async for chunk in _chunks(context, part):
        if bulk.stop.is_set():
            break
        write(chunk)
        result.exported += len(chunk)
        if audit_id:
            result.removed += await context.ledger.audit.shorten(chunk, audit=audit_id)
        bulk.progress(len(chunk))
    return result


async def _chunks(context: OperatorContext, part: AuditPart) -> AsyncIterator[list[AuditEntry | Unreadable]]:
    chunk: list[AuditEntry | Unreadable] = []
    async for entry in context.ledger.audit.entries():
        if written_ms(entry.name) > part.until_ms:
            continue
        chunk.append(entry)
        if len(chunk) == _CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
