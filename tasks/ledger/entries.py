"""The entries of one of the ledger's own streams, as they are: another program may have written any of them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from tasks.ledger.scripts import Scripts

_BATCH = 200

StreamEntry = tuple[str, dict[bytes, bytes]]


class Entries:
    """Reads one stream of the ledger. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts, name: str) -> None:
        """`name`: the stream's, without the prefix that all keys have."""
        self._scripts = scripts
        self._key = scripts.key(name)

    async def backwards(self, since_ms: int = 0) -> AsyncIterator[StreamEntry]:
        """The entries, newest first, each with its id; only those written since then (ms since the epoch)."""
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
        """The entry of this id, if there is one."""
        rows: Any = await self._scripts.ask(self._scripts.redis.xrange(self._key, entry_id, entry_id))
        return (entry_id, rows[0][1]) if rows else None
