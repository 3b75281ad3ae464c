"""Notices tell of events that somebody may want to know at once. Readers follow their capped stream with a cursor.

The script that causes such an event writes its notice in the same step (`lua/lib/notices.lua`). So a reader that comes
later still learns of an event that is over by then. Notices are not a record: one that could not be written is lost,
and the oldest are deleted when too many come. A reader is told how many it has missed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple

from tasks.history import iso
from tasks.ledger.codec import compact_json
from tasks.ledger.scripts import Scripts
from tasks.ledger.values import Unreadable

_CURSOR = re.compile(r"([0-9]{1,20}-[0-9]{1,20})/([0-9]{1,15})")
_NUMBER = re.compile(rb"\d{1,15}")


class NoticeKind(StrEnum):
    """The kinds of notices. The comment of each names its fields. Times are ms since the epoch, durations are ms."""

    GATE_SHUT = "gate_shut"  # reason, by, why, till (only where its end is known): one more reason stands
    GATE_REASON_OVER = "gate_reason_over"  # reason: it is over, and others still stand
    GATE_OPENED = "gate_opened"  # reason (the last one), shut_ms (for how long the gate was shut)
    FAILURE = "failure"  # reason, reference: none stood failed for this reason, or none had failed for it for an hour
    FAILURES_GROWING = "failures_growing"  # reason, count: ten, a hundred, … stand failed for it
    TROUBLE = "trouble"  # what, text: what no script can tell, such as that no worker lives
    RECOVERED = "recovered"  # what, text, lasted_ms: a trouble is over
    REJECTED = "rejected"  # id, problem, type (if it was refused), waiting: the first, then one in ten minutes at most
    REJECTED_GROWING = "rejected_growing"  # events (within an hour), waiting: over 1,000, told once an hour at most
    KEY_SUSPENDED = "key_suspended"  # key (its name), cause
    KEY_ACCEPTED = "key_accepted"  # key
    KEY_FORGOTTEN = "key_forgotten"  # key: it was suspended, and no worker has had it for an hour
    LEDGER_DAMAGED = "ledger_damaged"  # agenda, index, stale, aside, unknown: so far; it has begun to rebuild
    LEDGER_REBUILT = "ledger_rebuilt"  # the same: what a whole round of the inspection has found
    HELD = "held"  # by, why, id (in the audit), groups (how many), reference (the first): an operator holds groups
    CANCEL_TOO_LATE = "cancel_too_late"  # source, id, groups (how many), reference (the first), closed_at
    ACTION_ENDED = "action_ended"  # action, by, why, id (in the audit), matched, changed, stopped (early),
    # action_id and because (why it was stopped) of a stored one
    LEDGER_VERSION = "ledger_version"  # from, to: it has risen, and programs that do not know it refuse from now on
    API_MOVED = "api_moved"  # from, to, by, why


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. `name`: its id in the stream. `number`: one more than that of the notice before.

    `at_ms`: when it was written (ms since the epoch, by the store's clock). `fields`: see `NoticeKind`.
    """

    name: str
    number: int
    kind: NoticeKind
    at_ms: int
    fields: Mapping[str, Any]

    @property
    def cursor(self) -> str:
        """The cursor to read on after this notice."""
        return f"{self.name}/{self.number}"

    def as_json(self) -> dict[str, Any]:
        """Return the notice as other programs see it."""
        return {"number": self.number, "at": iso(self.at_ms), "kind": self.kind.value, "fields": dict(self.fields)}


class Page(NamedTuple):
    """Some notices. `cursor`: passes to the next `read`. `missed`: how many were deleted before they could be read."""

    notices: Sequence[Notice | Unreadable]
    cursor: str
    missed: int


class Notices:
    """The stream of notices. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._key = scripts.key("notices")

    async def read(self, *, after: str = "", limit: int = 100) -> Page:
        """Return up to `limit` notices (at least 1) after a cursor, oldest first.

        `after`: the cursor of the page before. When it is empty or not a cursor, reading starts at the oldest notice.
        """
        found = _CURSOR.fullmatch(after)
        last_id, number = (found[1], int(found[2])) if found else ("0-0", 0)
        rows: Any = await self._scripts.ask(self._scripts.redis.xrange(self._key, f"({last_id}", "+", count=limit))
        return _page([_notice(entry_id, fields) for entry_id, fields in rows], last_id, number)

    async def latest(self, limit: int) -> list[Notice | Unreadable]:
        """Return the last `limit` notices, newest first."""
        rows: Any = await self._scripts.ask(self._scripts.redis.xrevrange(self._key, count=limit))
        return [_notice(entry_id, fields) for entry_id, fields in rows]

    async def tell(self, kind: NoticeKind, fields: Mapping[str, Any]) -> None:
        """Write a notice of an event that spans several scripts, such as the end of a bulk action.

        A crash before this call loses the notice, and nothing else.
        """
        await self._scripts.run("tell", kind.value, compact_json(dict(fields)))


def _page(notices: list[Notice | Unreadable], last_id: str, number: int) -> Page:
    """Count the numbers that are missing between notices. The first page has no number before it, so it misses none.

    When a number is not larger than the one before, the count in the store was lost and began again.
    """
    missed, unreadable = 0, 0
    for one in notices:
        last_id = one.name
        if isinstance(one, Unreadable):
            unreadable += 1
            continue
        missed += max(0, one.number - number - 1 - unreadable) if number else 0
        number, unreadable = one.number, 0
    return Page(notices, f"{last_id}/{number}", missed)


def _notice(entry_id: bytes, fields: dict[bytes, bytes]) -> Notice | Unreadable:
    """Read one entry of the stream. Another program or a newer release may have written it."""
    name = entry_id.decode()
    try:
        kind, said = NoticeKind(fields[b"kind"].decode()), json.loads(fields[b"fields"])
        number, at_ms = (_natural(fields[field]) for field in (b"number", b"at"))
    except (ValueError, LookupError, TypeError, RecursionError):
        return Unreadable(name)
    return Notice(name, number, kind, at_ms, said) if isinstance(said, dict) else Unreadable(name)


def _natural(raw: bytes) -> int:
    """Read a number as the scripts write it. Raises ValueError for any other bytes."""
    if not _NUMBER.fullmatch(raw):
        raise ValueError("not a number")
    return int(raw)
