"""Takes the batches of task messages: claims the groups that each names, and only then lets its message go."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from tasks.errors import ForeignApi, LedgerBroken, NewerLedger, NotTaken, StoreUnavailable
from tasks.events.event import is_reference
from tasks.outage_log import OutageLog
from worker.attempts.pool import AttemptPool
from worker.patience import pauses

_FOREIGN_S = 5.0  # by then a heartbeat has found that the ledger is for another API, and ends the process


class Door(Protocol):
    """Takes in what a foreign program's task message brings. A batch that closer itself has sent does not come here."""

    async def keep(self, batch: Any, origin: str) -> list[str]:
        """Keep as rejected what is not a reference, and return the references without repeats."""

    async def receive(self, references: Sequence[str], origin: str) -> None:
        """Have the ledger receive groups that it does not know."""


class Batches:
    """Claims what task messages name. Any program may have sent a message.

    Then its batch may be the only trace of those groups. So each is claimed, received or kept before the message is
    acknowledged.
    """

    def __init__(
        self, pool: AttemptPool, door: Door, introduced: asyncio.Event, taken: Callable[[], None] = lambda: None
    ) -> None:
        """`introduced` is set when the ledger knows this worker; before that no batch is taken.

        `door` gets what the ledger does not know. `taken` is called after each batch, because there may be room for
        more task messages.
        """
        self._pool = pool
        self._door = door
        self._introduced = introduced
        self._taken = taken
        self.outages = OutageLog("taking batches")
        self.taken_at = time.monotonic()

    async def claim_when_possible(self, batch: Any, origin: str) -> None:
        """Claim a batch, as `claim` does. While the store fails, try again until the process stops.

        Raises NotTaken: then the message must stay in the queue.
        """
        waits = pauses()
        while True:
            try:
                await self._claim_if_introduced(batch, origin)
            except (StoreUnavailable, LedgerBroken) as error:
                self.outages.begins(error)
                if self._pool.draining:
                    raise NotTaken(str(error)) from error
                await asyncio.sleep(next(waits))
            except (ForeignApi, NewerLedger) as error:
                await asyncio.sleep(_FOREIGN_S)  # another worker can take the message, and this one ends soon
                raise NotTaken(str(error)) from error
            else:
                self.outages.ends()
                self._taken()
                return

    async def _claim_if_introduced(self, batch: Any, origin: str) -> None:
        if not self._introduced.is_set():
            raise StoreUnavailable("the ledger does not know this worker yet")
        await self.claim(batch, origin)

    async def claim(self, batch: Any, origin: str) -> None:
        """Claim a batch. Returns when each group is claimed or needs nothing now, and everything else is kept.

        `batch`: a list of references, or anything that a foreign program sent. `origin`: the message's id.

        From then on the lease guards each group, and the message may go: after a crash the attempt is repeated when the
        lease ends. Raises NotTaken, StoreUnavailable, LedgerBroken and ForeignApi: then the message must stay in the
        queue. A second delivery claims nothing twice.
        """
        self.taken_at = time.monotonic()
        references = batch if _only_references(batch) else await self._door.keep(batch, origin)
        if unknown := await self._pool.claim(references):
            await self._door.receive(unknown, origin)
            await self._pool.claim(unknown)


def _only_references(batch: Any) -> bool:
    """Return whether it is a list of different references, as closer itself sends them."""
    return isinstance(batch, list) and all(map(is_reference, batch)) and len(set(batch)) == len(batch)
