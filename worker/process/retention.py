"""Deletes what has been kept for as long as the settings say.

That is closures and bulk actions that have ended, and rejected events.
"""

from __future__ import annotations

import asyncio
import time

from tasks.ledger.dead_letters import Forgotten
from tasks.ledger.ledger import Ledger

_DAY_S = 86_400.0
_PAUSE_S, _MORE_S = 60.0, 0.1
_ROUND_S = 3600.0  # between two looks at all rejected events, because each that finds some is an entry in the audit
_BEGIN = Forgotten(0, "-", "")


class Retention:
    """Deletes old closures, bulk actions and rejected events, a few at a time. Failed closures are never deleted."""

    def __init__(self, ledger: Ledger, *, closed_days: float, rejected_days: float) -> None:
        """`closed_days`, `rejected_days`: how long they are kept. Rejected events are kept for ever when it is 0."""
        self._ledger = ledger
        self._closed_s = closed_days * _DAY_S
        self._rejected_s = rejected_days * _DAY_S
        self._why = f"they last came over {rejected_days:g} days ago (CLOSER_RETAIN_REJECTED_DAYS)"
        self._round = _BEGIN
        self._next_s = float("-inf")

    async def step(self) -> None:
        """Delete some of what is old, and wait: a moment while there may be more, else a minute.

        Raises StoreUnavailable and LedgerBroken. A crash leaves the rest to the next step of any worker.
        """
        forgotten = await self._ledger.prune(keep_s=self._closed_s)
        forgotten += await self._ledger.bulk.prune(keep_s=self._closed_s)
        more = await self._forget_rejected()
        await asyncio.sleep(_MORE_S if forgotten or more else _PAUSE_S)

    async def _forget_rejected(self) -> bool:
        """Go on with a round, or begin one when it is time. Return whether the round goes on."""
        if not self._rejected_s or time.monotonic() < self._next_s:
            return False
        self._round = await self._ledger.dead_letters.forget(
            keep_s=self._rejected_s, why=self._why, after=self._round.after, audit=self._round.audit
        )
        if not self._round.after:
            self._round, self._next_s = _BEGIN, time.monotonic() + _ROUND_S
        return self._round is not _BEGIN
