"""The audit's stream: what operators do is announced here before anything changes; nothing ever shortens it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.ledger.entries import Entries
from tasks.ledger.scripts import Scripts


class AuditStream(Entries):
    """Appends to the audit, and reads it. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        super().__init__(scripts, "audit")

    async def append(self, fields: Mapping[str, str | int]) -> str:
        """Append an entry; returns its id."""
        entry: dict[Any, Any] = dict(fields)
        entry_id: Any = await self._scripts.ask(self._scripts.redis.xadd(self._key, entry))
        return str(entry_id.decode())
