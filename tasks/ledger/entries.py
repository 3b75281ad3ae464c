"""The raw entries of one of the ledger's own streams. Another program may have written any of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tasks.ledger.scripts import Scripts

_BATCH = 200

StreamEntry = tuple[str, dict[bytes, bytes]]


class Entries:
    """Reads one stream of the ledger, and leaves the fields to the caller. Raises StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts, name: str) -> None:
        """`name`: the stream's name without the fleet's prefix."""
        self._scripts = scripts
        self._key = scripts.key(name)

    async def backwards(self, since_ms: int = 0) -> AsyncIterator[StreamEntry]:
        """Yield each entry's id and fields, newest first, back to those written at `since_ms` (ms since the epoch)."""
        last = "+"
        while True:
            command = self._scripts.redis.xrevrange(self._key, last, str(since_ms), count=_BATCH)
            rows: Any = await self._scripts.ask(command)
            for entry_id, fields in rows:
                yield entry_id.decode(), fields
            if len(rows) < _BATCH:
                return
            last = f"({rows[-1][0].decode()}"

    async def get(self, entry_id: str) -> StreamEntry | None:
        """Return the entry with this id, or None when there is none."""
        rows: Any = await self._scripts.ask(self._scripts.redis.xrange(self._key, entry_id, entry_id))
        return (entry_id, rows[0][1]) if rows else None
