"""The inspection: what somebody has deleted from the ledger's agenda and indexes is found, put back, and told."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from tasks.ledger.inspection import Inspected
from tasks.ledger.ledger import Ledger

_log = logging.getLogger("closer.inspection")
_NAMED_MOST = 100


class Inspection:
    """Takes steps of the one inspection that the whole fleet shares. A step is short, and the store sets the pace."""

    def __init__(self, ledger: Ledger, *, lease_s: float) -> None:
        """`lease_s`: a closure that was being attempted as its plan was lost is left alone for so long."""
        self._ledger = ledger
        self._lease_s = lease_s
        self._named: set[str] = set()

    async def step(self) -> None:
        """Take a step, tell what it has found, and wait for the next one. Raises StoreUnavailable."""
        found = await self._ledger.inspector.step(lease_s=self._lease_s)
        self._name(found.met)
        _tell(found)
        await asyncio.sleep(found.wait_s)

    def _name(self, references: Sequence[str]) -> None:
        """Name each damaged record once."""
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
