"""The audit: every action of every operator, appended to a stream that nothing ever shortens.

An action is announced before anything changes; what it has changed is added in the same step that changes it (see
`tasks/ledger/lua/lib/audit.lua`). So an action that took effect always has its entry, however it ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.history import iso
from tasks.ledger.notices import NoticeKind
from worker.operations.context import OperatorContext
from worker.operations.operator import Operator, Verb


@dataclass(frozen=True, slots=True)
class Announced:
    """What an operator is about to do. `name` and `why` are the operator's own words.

    `selection`: which closures or rejected events, as JSON (see `Selection.as_json`), with the action's options. An
    entry of an earlier release has it in words instead: `in_words`. So have actions that select nothing.
    """

    name: str
    action: str
    selection: dict[str, Any] | None
    why: str
    door: str = ""
    in_words: str = ""

    @classmethod
    def by(cls, operator: Operator, verb: Verb, selection: dict[str, Any], why: str) -> Announced:
        """What this operator is about to do."""
        return cls(operator.signature, verb.value, selection, why, operator.door)


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action in the audit, and what came of it."""

    entry_id: str
    action: Announced
    matched: int
    changed: int
    skipped: dict[str, int]

    @property
    def at(self) -> str:
        """When it was announced, ISO 8601."""
        return iso(int(self.entry_id.partition("-")[0]))

    @property
    def unfinished(self) -> int:
        """How many of those that matched it never came to: it was interrupted."""
        return max(0, self.matched - self.changed - sum(self.skipped.values()))

    def as_json(self) -> dict[str, Any]:
        """The entry as other programs see it."""
        return {
            "at": self.at, "by": self.action.name, "door": self.action.door or None, "action": self.action.action,
            "selection": self.action.selection, "matched": self.matched, "changed": self.changed,
            "skipped": self.skipped, "why": self.action.why, "id": self.entry_id,
        }  # fmt: skip


async def announce(
    context: OperatorContext, action: Announced, matched: int, skipped: dict[str, int] | None = None
) -> str:
    """Write down what is about to be done; returns the id under which the ledger adds what it changes."""
    fields: dict[str, str | int] = {
        "by": action.name, "door": action.door, "action": action.action, "selection": json.dumps(action.selection),
        "why": action.why, "matched": matched, "skipped": json.dumps(skipped or {}),
    }  # fmt: skip
    return await context.ledger.audit.append(fields)


async def tell_end(
    context: OperatorContext, action: Announced, audit_id: str, *, matched: int, changed: int, stopped: bool
) -> None:
    """Have those who follow the notices know that a bulk action has ended, or was stopped before its end.

    All is done by now. A store that fails here must not make the action look as if it had failed.
    """
    fields = {
        "action": action.action, "by": action.name, "why": action.why, "id": audit_id, "matched": matched,
        "changed": changed, "stopped": stopped,
    }  # fmt: skip
    with suppress(StoreUnavailable, LedgerBroken):
        await context.ledger.notices.tell(NoticeKind.ACTION_ENDED, fields)


async def entries(context: OperatorContext, *, since_ms: int = 0) -> AsyncIterator[AuditEntry]:
    """Every action, newest first. Raises Refused and StoreUnavailable.

    Results follow their announcement in the stream. Reading backwards yields them first, so they are collected until
    it appears.
    """
    context.guard(Verb.AUDIT)
    parts: dict[str, list[dict[str, str]]] = {}
    async for entry_id, raw in context.ledger.audit.backwards(since_ms):
        row = _text(raw)
        if not ("of" in row or "action" in row):
            continue  # closer did not write it
        if "of" in row:
            parts.setdefault(row["of"], []).append(row)
        else:
            yield _entry(entry_id, row, parts.pop(entry_id, []))


async def announced(context: OperatorContext, entry_ids: Iterable[str]) -> dict[str, Announced]:
    """Who did these actions, and why, by the ids that closures keep. Raises StoreUnavailable."""
    found = {}
    for entry_id in set(entry_ids):
        if entry := await context.ledger.audit.get(entry_id):
            found[entry_id] = _announced(_text(entry[1]))
    return found


def _text(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()}


def _announced(row: dict[str, str]) -> Announced:
    by, action, why, door, words = (row.get(name, "") for name in ("by", "action", "why", "door", "filter"))
    return Announced(by, action, _object(row.get("selection", "null")), why, door, words)


def _entry(entry_id: str, row: dict[str, str], parts: list[dict[str, str]]) -> AuditEntry:
    skipped: Counter[str] = Counter()
    for part in (row, *parts):
        skipped.update(_counts(part.get("skipped", "{}")))
    changed = sum(_number(part.get("changed", "0")) for part in (row, *parts))
    matched = max(_number(row.get("matched", "0")), changed)  # what closer rebuilds is known only when it is done
    return AuditEntry(entry_id, _announced(row), matched, changed, dict(skipped))


def _counts(text: str) -> dict[str, int]:
    """Counts by what they count; nothing for what closer did not write."""
    counts = _object(text) or {}
    return counts if all(type(count) is int for count in counts.values()) else {}


def _object(text: str) -> dict[str, Any] | None:
    """The JSON object in a field; None for anything else: another program may write to the stream."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
