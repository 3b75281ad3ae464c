"""Notices: what somebody may want to be told of at once, read with a cursor from a capped stream.

The scripts that do such a thing write its notice in the same step (`lua/lib/notices.lua`), so a reader that comes later
learns of it although it may be over by then. Notices are a help and not a record: where one could not be written, or
too many came, they are gone. A reader is told how many it has missed.
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
from tasks.ledger.heartbeat import Unreadable
from tasks.ledger.scripts import Scripts

_CURSOR = re.compile(r"([0-9]{1,20}-[0-9]{1,20})/([0-9]{1,15})")
_NUMBER = re.compile(rb"\d{1,15}")


class NoticeKind(StrEnum):
    """What notices tell of, each with its fields. Times and durations are in ms."""

    GATE_SHUT = "gate_shut"  # reason, by, why, till (only where its end is known): one more reason stands
    GATE_REASON_OVER = "gate_reason_over"  # reason: it is over, and others still stand
    GATE_OPENED = "gate_opened"  # reason (the last one), shut_ms (for how long the gate was shut)
    FAILURE = "failure"  # reason, reference: none stood failed for this reason, or none had failed for it for an hour
    REJECTED = "rejected"  # id, problem, type (if it was refused), waiting: the first, then one in ten minutes at most
    KEY_SUSPENDED = "key_suspended"  # key (its name), cause
    KEY_ACCEPTED = "key_accepted"  # key
    KEY_FORGOTTEN = "key_forgotten"  # key: it was suspended, and no worker has had it for an hour
    LEDGER_DAMAGED = "ledger_damaged"  # agenda, index, stale, aside, unknown: so far; it has begun to rebuild
    LEDGER_REBUILT = "ledger_rebuilt"  # the same: what a whole round of the inspection has found
    ACTION_ENDED = "action_ended"  # action, by, why, id (in the audit), matched, changed, stopped (early)
    LEDGER_VERSION = "ledger_version"  # from, to: it has risen, and programs that do not know it refuse from now on
    API_MOVED = "api_moved"  # from, to, by, why


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice. `name`: its id in the stream. `number`: one more than the notice before.

    `at_ms`: by the store's clock. `fields`: see `NoticeKind`.
    """

    name: str
    number: int
    kind: NoticeKind
    at_ms: int
    fields: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The notice as other programs see it."""
        return {"number": self.number, "at": iso(self.at_ms), "kind": self.kind.value, "fields": dict(self.fields)}


class Page(NamedTuple):
    """What has been read. `cursor`: where to read on. `missed`: so many notices are gone that came before these."""

    notices: Sequence[Notice | Unreadable]
    cursor: str
    missed: int


class Notices:
    """The stream of notices. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts
        self._key = scripts.key("notices")

    async def read(self, *, after: str = "", limit: int = 100) -> Page:
        """Up to `limit` notices after a cursor, oldest first.

        `after`: the cursor of the page before; empty, or anything that is not a cursor: from the oldest one kept.
        """
        found = _CURSOR.fullmatch(after)
        last_id, number = (found[1], int(found[2])) if found else ("0-0", 0)
        rows: Any = await self._scripts.ask(self._scripts.redis.xrange(self._key, f"({last_id}", "+", count=limit))
        return _page([_notice(entry_id, fields) for entry_id, fields in rows], last_id, number)

    async def latest(self, limit: int) -> list[Notice | Unreadable]:
        """The last notices, newest first."""
        rows: Any = await self._scripts.ask(self._scripts.redis.xrevrange(self._key, count=limit))
        return [_notice(entry_id, fields) for entry_id, fields in rows]

    async def tell(self, kind: NoticeKind, fields: Mapping[str, Any]) -> None:
        """Write a notice of what no script does in one step."""
        await self._scripts.run("tell", kind.value, compact_json(dict(fields)))


def _page(notices: list[Notice | Unreadable], last_id: str, number: int) -> Page:
    """Count what is missing between the numbers. The first page has no number before it, so it misses nothing.

    A number that is not larger than the one before is the first of a count that began anew.
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
    """Read one entry of the stream. Another program, or a newer closer, may have written it."""
    name = entry_id.decode()
    try:
        kind, said = NoticeKind(fields[b"kind"].decode()), json.loads(fields[b"fields"])
        number, at_ms = (_natural(fields[field]) for field in (b"number", b"at"))
    except (ValueError, LookupError, TypeError, RecursionError):
        return Unreadable(name)
    return Notice(name, number, kind, at_ms, said) if isinstance(said, dict) else Unreadable(name)


def _natural(raw: bytes) -> int:
    """A number as the scripts write it. Raises ValueError for anything else."""
    if not _NUMBER.fullmatch(raw):
        raise ValueError("not a number")
    return int(raw)
