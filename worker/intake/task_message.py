"""Takes in task messages: claims the groups that they name. Groups that the ledger does not know are received first."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

from tasks.errors import ForeignApi, LedgerBroken, NewerLedger, NotTaken, StoreUnavailable
from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection, is_reference
from tasks.ledger.ledger import Ledger
from tasks.outage_log import OutageLog
from tasks.task_message import Aside, wrong_reference
from worker.attempts.pool import AttemptPool
from worker.intake.receive import receive_or_reject
from worker.patience import pauses

_log = logging.getLogger("closer.messages")
_FOREIGN_S = 5.0  # by then a heartbeat has found that the ledger is for another API, and ends the process


class TaskMessages:
    """Takes in the batches of task messages. Any program may have sent a message.

    Then its batch may be the only trace of those groups. So a batch is received or kept before its message is
    acknowledged.
    """

    def __init__(
        self, ledger: Ledger, pool: AttemptPool, introduced: asyncio.Event, received: Callable[[], None] = lambda: None
    ) -> None:
        """`introduced` is set when the ledger knows this worker; before that no batch is taken in.

        `received` is called after each batch, because there may be room for more task messages.
        """
        self._received = received
        self._ledger = ledger
        self._pool = pool
        self._introduced = introduced
        self.outages = OutageLog("taking batches")
        self.taken_at = time.monotonic()

    async def take_in_when_possible(self, batch: Any, origin: str) -> None:
        """Take a batch in, as `take_in` does. While the store fails, try again until the process stops.

        Raises NotTaken: then the message must stay in the queue.
        """
        waits = pauses()
        while True:
            try:
                await self._take_in_if_introduced(batch, origin)
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
                self._received()
                return

    async def _take_in_if_introduced(self, batch: Any, origin: str) -> None:
        if not self._introduced.is_set():
            raise StoreUnavailable("the ledger does not know this worker yet")
        await self.take_in(batch, origin)

    async def take_in(self, batch: Any, origin: str) -> None:
        """Take a batch in. Returns when each group is claimed or needs nothing now, and everything else is kept.

        `batch`: a list of references, or anything that a foreign program sent. `origin`: the message's id.

        From then on the lease guards each group, and the message may go: after a crash the attempt is repeated when the
        lease ends. Raises NotTaken, StoreUnavailable, LedgerBroken and ForeignApi: then the message must stay in the
        queue. A second delivery claims nothing twice.
        """
        self.taken_at = time.monotonic()
        origin = "".join(char if char.isprintable() else " " for char in origin)  # a foreign program may have chosen it
        if isinstance(batch, Aside):
            name = f"task {origin}"
            await self._ledger.dead_letters.reject(batch.body, Rejection((batch.problem,)), name, delivery=name)
            return
        unknown = await self._pool.claim(await self._references(batch, origin))
        if unknown:
            await self._receive_unknown(unknown, origin)
            await self._pool.claim(unknown)

    async def _receive_unknown(self, references: Sequence[str], origin: str) -> None:
        events = [GroupComplete(reference, "celery", origin) for reference in references]
        elements = [Element(json.dumps({"reference": one.reference}).encode(), f"task {origin}", one) for one in events]
        await self._ledger.dead_letters.keep(await receive_or_reject(self._ledger, elements), unique=False)

    async def _references(self, batch: Any, origin: str) -> list[str]:
        """Return the references without repeats, and put aside everything else.

        `tasks.task_message` has already put aside what is not a reference. This finds such a value only after a defect.
        """
        given = [batch] if isinstance(batch, str) else batch
        if not isinstance(given, list):
            await self._put_aside([_rejected(given, "references: a list of strings is needed", f"task {origin}")])
            return []
        await self._put_aside(
            [
                _rejected(reference, wrong_reference(index), f"task {origin}/{index}")
                for index, reference in enumerate(given)
                if not is_reference(reference)
            ]
        )
        return list(dict.fromkeys(reference for reference in given if is_reference(reference)))

    async def _put_aside(self, rejected: Sequence[Element]) -> None:
        """Keep these in one step. Another message may have the same id, because its sender has chosen it."""
        await self._ledger.dead_letters.keep(rejected, unique=False)


def _rejected(value: Any, problem: str, identity: str) -> Element:
    return Element(json.dumps(value).encode(), identity, Rejection((problem,)))
