"""Runs the ledger's inspection, which puts back what the agenda and the indexes have lost, and logs what it finds."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tasks.ledger.inspection import Inspected
from tasks.ledger.ledger import Ledger

_log = logging.getLogger("closer.inspection")
_NAMED_MOST = 100


class Inspection:
    """Takes steps of the inspection that the fleet shares. A step is short; the store says when the next is due."""

    def __init__(self, ledger: Ledger, *, lease_s: float) -> None:
        """`lease_s`: how long a closure is left alone when it was being attempted and the agenda has lost it."""
        self._ledger = ledger
        self._lease_s = lease_s
        self._named: set[str] = set()

    async def step(self) -> None:
        """Take a step, log what it has found, and wait until the next one. Raises StoreUnavailable and LedgerBroken."""
        found = await self._ledger.inspector.step(lease_s=self._lease_s)
        self._name(found.met)
        _tell(found)
        await asyncio.sleep(found.wait_s)

    def _name(self, references: Sequence[str]) -> None:
        """Log each damaged record once, and at most a hundred of them."""
        for reference in references:
            if reference not in self._named and len(self._named) < _NAMED_MOST:
                self._named.add(reference)
                _log.error(
                    "the record of %s cannot be read, and no list tells whether it was closed: it is left alone; "
                    "if it must be closed: closer publish %s",
                    reference,
                    reference,
                )


def _tell(found: Inspected) -> None:
    if found.happened == "found":
        _log.error(
            "the store has lost parts of the ledger's agenda or lists, or another program has changed them; they are "
            "put right from the records, group by group. Find out who deletes closer's keys: `closer check` tells "
            "whether the store does"
        )
    elif found.happened == "ended":
        _log.warning(
            "the ledger is whole again: %d groups were put back on the agenda, %d into the list of their state, %d "
            "wrong entries were taken off, %d without a record were put aside (`closer rejected list`), %d "
            "damaged records are left alone; see `closer audit`",
            found.agenda,
            found.index,
            found.stale,
            found.aside,
            found.unknown,
        )
