"""The audit's stream. An operator's action is announced here before anything changes. The stream is never trimmed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tasks.ledger.entries import Entries
from tasks.ledger.scripts import Scripts


class AuditStream(Entries):
    """Appends to the audit and reads it. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        super().__init__(scripts, "audit")

    async def append(self, fields: Mapping[str, str | int]) -> str:
        """Append an entry with these fields, and return its id (`ms-number`, the store's time).

        The entry is written before the action starts, so a crash in between leaves an announcement without an effect.
        """
        entry: dict[Any, Any] = dict(fields)
        entry_id: Any = await self._scripts.ask(self._scripts.redis.xadd(self._key, entry))
        return str(entry_id.decode())
