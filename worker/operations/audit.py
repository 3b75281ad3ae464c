"""The audit: every action of every operator, appended to a stream that nothing ever shortens.

An action is announced before anything changes; what it has changed is added in the same step that changes it (see
`tasks/lua/lib/audit.lua`). So an action that took effect is never without its entry, however it ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

from tasks.closure import iso
from worker.operations.context import OperatorContext, asking


@dataclass(frozen=True, slots=True)
class Action:
    """What an operator is about to do: who, what, to which, why. `why` and `by` are the operator's own words."""

    by: str
    what: str
    chosen: str
    why: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One action in the audit, and what came of it."""

    entry_id: str
    action: Action
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
            "at": self.at, "by": self.action.by, "action": self.action.what, "filter": self.action.chosen,
            "matched": self.matched, "changed": self.changed, "skipped": self.skipped, "why": self.action.why,
            "id": self.entry_id,
        }  # fmt: skip


async def announce(
    context: OperatorContext, action: Action, matched: int, skipped: dict[str, int] | None = None
) -> str:
    """Write down what is about to be done; returns the id under which the ledger adds what it changes."""
    fields: dict[Any, Any] = {"by": action.by, "action": action.what, "filter": action.chosen, "why": action.why}
    counts = {"matched": matched, "skipped": json.dumps(skipped or {})}
    with asking():
        entry_id: Any = await context.redis.xadd(context.key("audit"), fields | counts)
    return str(entry_id.decode())


async def entries(context: OperatorContext, *, since_ms: int = 0) -> AsyncIterator[Entry]:
    """Every action, newest first. What came of it stands after it in the stream, so on the way back it comes first."""
    parts: dict[str, list[dict[str, str]]] = {}
    async for entry_id, raw in context.backwards("audit", since_ms):
        row = _text(raw)
        if not ("of" in row or "action" in row):
            continue  # closer did not write it
        if "of" in row:
            parts.setdefault(row["of"], []).append(row)
        else:
            yield _entry(entry_id, row, parts.pop(entry_id, []))


async def announced(context: OperatorContext, entry_ids: Iterable[str]) -> dict[str, Action]:
    """Who did these actions, and why, by the ids that closures keep."""
    found = {}
    for entry_id in set(entry_ids):
        if entry := await context.entry("audit", entry_id):
            found[entry_id] = _action(_text(entry[1]))
    return found


def _text(raw: dict[bytes, bytes]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()}


def _action(row: dict[str, str]) -> Action:
    return Action(row.get("by", ""), row.get("action", ""), row.get("filter", ""), row.get("why", ""))


def _entry(entry_id: str, row: dict[str, str], parts: list[dict[str, str]]) -> Entry:
    skipped: Counter[str] = Counter()
    for part in (row, *parts):
        skipped.update(_counts(part.get("skipped", "{}")))
    changed = sum(_number(part.get("changed", "0")) for part in (row, *parts))
    matched = max(_number(row.get("matched", "0")), changed)  # what closer rebuilds is known only when it is done
    return Entry(entry_id, _action(row), matched, changed, dict(skipped))


def _counts(text: str) -> dict[str, int]:
    """Counts by what they count; nothing for what closer did not write: another program may write to the stream."""
    try:
        counts = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return counts if isinstance(counts, dict) and all(type(count) is int for count in counts.values()) else {}


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
