"""The audit: every action of every operator, as entries of a stream.

An action is announced before anything changes. The script that makes a change adds, in the same step, what it has
changed (`lua/lib/audit.lua`). So an action that took effect always has its entry, however it ended.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tasks.history import iso
from tasks.ledger.entries import Entries, texts, written_ms
from tasks.ledger.scripts import Scripts
from tasks.ledger.values import Unreadable

_Row = dict[str, str]


@dataclass(frozen=True, slots=True)
class Announced:
    """What an operator is about to do. `name` and `why` are the operator's own words. `door`: the front end.

    `selection`: which closures or rejected events, as JSON, with the action's options. An entry of an earlier release
    has it in words instead: `in_words`. So have actions that select nothing. `action_id`: of the stored bulk action.
    """

    name: str
    action: str
    selection: dict[str, Any] | None
    why: str
    door: str = ""
    in_words: str = ""
    action_id: str = ""

    def as_fields(self, matched: int, skipped: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Return the fields of the announcement. `matched`, `skipped`: as in `Audit.announce`."""
        return {
            "by": self.name, "door": self.door, "action": self.action, "selection": json.dumps(self.selection),
            "why": self.why, "matched": matched, "skipped": json.dumps(skipped or {}),
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One action in the audit, and what came of it.

    `matched`: how many closures or rejected events it was about. `changed`, `skipped`: what became of them so far;
    those that were skipped are counted by why. `results`: the ids of the entries that say so.
    """

    entry_id: str
    action: Announced
    matched: int
    changed: int
    skipped: dict[str, int]
    results: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The entry's name in the store, which is its id."""
        return self.entry_id

    @property
    def at(self) -> str:
        """When it was announced, ISO 8601."""
        return iso(written_ms(self.entry_id))

    @property
    def unfinished(self) -> int:
        """How many of those that matched it never came to. It was interrupted then."""
        return max(0, self.matched - self.changed - sum(self.skipped.values()))

    def as_json(self) -> dict[str, Any]:
        """Return the entry as other programs see it."""
        return {
            "at": self.at, "by": self.action.name, "door": self.action.door or None, "action": self.action.action,
            "selection": self.action.selection, "matched": self.matched, "changed": self.changed,
            "skipped": self.skipped, "why": self.action.why, "id": self.entry_id,
            "action_id": self.action.action_id or None,
        }  # fmt: skip


class Audit(Entries):
    """Appends to the audit and reads it. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        super().__init__(scripts, "audit")

    async def announce(self, action: Announced, matched: int, skipped: Mapping[str, int] | None = None) -> str:
        """Write down what is about to be done, and return the entry's id (`ms-number`, the store's time).

        A crash between this and the first change leaves an announcement without an effect.
        """
        fields = action.as_fields(matched, skipped)
        entry_id: bytes = await self._scripts.run("announce", *(word for pair in fields.items() for word in pair))
        return entry_id.decode()

    async def entries(self, *, since_ms: int = 0) -> AsyncIterator[AuditEntry | Unreadable]:
        """Yield every action that was announced at `since_ms` (ms since the epoch) or later, newest first.

        Results follow their announcement in the stream. Reading backwards yields them first, so they are collected
        until it appears. An entry that is neither of the two is Unreadable: closer did not write it.
        """
        results: dict[str, dict[str, _Row]] = {}
        async for entry_id, fields in self._read("newest", "+", str(since_ms)):
            row = texts(fields)
            if "of" in row:
                results.setdefault(row["of"], {})[entry_id] = row
            elif "action" in row:
                yield _entry(entry_id, row, results.pop(entry_id, {}))
            else:
                yield Unreadable(entry_id, json.dumps(row))

    async def shorten(self, entries: Sequence[AuditEntry | Unreadable], *, audit: str) -> int:
        """Delete these entries with their results, and return how many of them were there.

        `audit`: the id of the audit's entry that announced it. The same step counts them there.
        """
        names = [one.name for one in entries]
        results = [result for one in entries if isinstance(one, AuditEntry) for result in one.results]
        gone: int = await self._scripts.run("shorten", audit, len(names), *names, *results)
        return gone

    async def announced(self, entry_ids: Iterable[str]) -> dict[str, Announced]:
        """Return who did these actions, and why, by the ids that closures keep. Ids that are not there are left out."""
        found = {}
        for entry_id in set(entry_ids):
            if entry := await self._get(entry_id):
                found[entry_id] = _announced(texts(entry[1]))
        return found


def _announced(row: _Row) -> Announced:
    by, action, why, door, words = (row.get(name, "") for name in ("by", "action", "why", "door", "filter"))
    selection = _object(row.get("selection", "null"))
    return Announced(by, action, selection, why, door, words, row.get("bulk", ""))


def _entry(entry_id: str, row: _Row, results: Mapping[str, _Row]) -> AuditEntry:
    skipped: Counter[str] = Counter()
    rows = (row, *results.values())
    for one in rows:
        skipped.update(_counts(one.get("skipped", "{}")))
    changed = sum(_number(one.get("changed", "0")) for one in rows)
    matched = max(_number(row.get("matched", "0")), changed)  # what closer rebuilds is known only when it is done
    return AuditEntry(entry_id, _announced(row), matched, changed, dict(skipped), tuple(results))


def _counts(text: str) -> dict[str, int]:
    """Return counts by what they count; nothing for what closer did not write."""
    counts = _object(text) or {}
    return counts if all(type(count) is int for count in counts.values()) else {}


def _object(text: str) -> dict[str, Any] | None:
    """Return the JSON object in a field; None for anything else, for another program may write to the stream."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0
