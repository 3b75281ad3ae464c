"""Asks the API for the state of held groups whose last attempt ended without a word.

Nobody knows whether that call took effect. A held group must not be called again, so its state is asked instead.
"""

from __future__ import annotations

import asyncio
import logging

from tasks.api.client import SortedApi
from tasks.errors import CloserError, LedgerBroken, StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Observation
from worker.operations.questions import Questions

_log = logging.getLogger("closer.asking")
_MOST = 20
_EVERY_S = 5.0
_AGAIN_S = 60.0


class Asking:
    """Takes a few such groups at a time. Any worker may do so: the ledger gives each group to one of them."""

    def __init__(self, ledger: Ledger, api: SortedApi, *, rate_limit: float) -> None:
        """`rate_limit`: calls per second of the whole fleet, 0 for no limit, until the fleet has a policy."""
        self._ledger = ledger
        self._api = api
        self._rate_limit = rate_limit

    async def step(self) -> None:
        """Ask for a few groups, and wait. Raises StoreUnavailable and LedgerBroken."""
        await self.ask_some()
        await asyncio.sleep(_EVERY_S)

    async def ask_some(self) -> None:
        """Ask for up to 20 groups, and write what the API says. Raises StoreUnavailable and LedgerBroken.

        A crash or an error in between is safe: what was not answered is asked again after a minute.
        """
        if references := await self._ledger.holds.to_ask(_MOST, again_s=_AGAIN_S):
            await self._ask(references)

    async def _ask(self, references: list[str]) -> None:
        questions = Questions(self._ledger, self._api, rate_limit=self._rate_limit)
        try:
            said = dict(zip(references, await questions.ask(references), strict=True))
        except (StoreUnavailable, LedgerBroken):
            raise
        except CloserError as error:  # the gate is shut, or the key is refused: what is told elsewhere
            _log.info("the state of %d held groups is not asked now: %s", len(references), error)
            return
        if closed := [reference for reference, state in said.items() if state == "closed"]:
            await self._ledger.reconcile([Observation(ref, True, 0) for ref in closed], audit="", others={})
            _log.warning("closed before its hold took effect: %s", ", ".join(closed))
        if still_open := [reference for reference, state in said.items() if state in ("open", "locked")]:
            await self._ledger.holds.asked(still_open)
