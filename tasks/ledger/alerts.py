"""Who sends alerts, and how far it has come: one notifier of the whole fleet, by a lease in the ledger."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from tasks.ledger.codec import compact_json
from tasks.ledger.scripts import Scripts, shown


class Delivery(StrEnum):
    """What became of an alert. FAILED: a try has failed, and another will follow. EXPIRED: it was given up."""

    DELIVERED = "delivered"
    FAILED = "failed"
    EXPIRED = "expired"


class AlertLease:
    """The lease of the fleet's notifier, for one who wants it. Methods may raise StoreUnavailable and LedgerBroken.

    A notifier that dies keeps it until it ends. The next one goes on at the cursor, so of what the dead one had sent,
    at most the last message is sent again, with the same id.
    """

    def __init__(self, scripts: Scripts, name: str) -> None:
        """`name`: this notifier's name, which nobody else has."""
        self._scripts = scripts
        self._name = name

    async def hold(self, lease_s: float) -> str | None:
        """Take the lease, or keep it for `lease_s` seconds from now. Return the cursor; None: another one has it."""
        held, cursor = await self._run("hold", int(lease_s * 1000))
        return shown(cursor) if held else None

    async def done(self, cursor: str, outcome: Delivery | None) -> bool:
        """Go on behind a notice. Return False, and change nothing, when the lease is another's by now.

        `outcome`: what became of its message, None if it needed none.
        """
        [held] = await self._run("done", cursor, outcome.value if outcome else "")
        return bool(held)

    async def failed(self) -> None:
        """Count a try that has failed."""
        await self._run("failed")

    async def troubles(self, standing: Mapping[str, str]) -> bool:
        """Say which troubles stand now, each with its text. Those that begin or end are told in notices, once each.

        Returns as `done`.
        """
        [held] = await self._run("troubles", compact_json(dict(standing)))
        return bool(held)

    async def _run(self, verb: str, *arguments: Any) -> Any:
        return await self._scripts.run("alerts", verb, self._name, *arguments)
