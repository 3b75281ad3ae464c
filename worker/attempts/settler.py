"""Writes settlements into the ledger: a single one at once, many together. It keeps them while the store is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import NamedTuple

from tasks.attempted import Attempted, Observer, Written
from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.ledger.sift import sift
from tasks.ledger.values import Settlement
from tasks.outage_log import OutageLog
from worker.attempts.permission import Permission
from worker.observe.attempt_log import log_unwritten

_log = logging.getLogger("closer.settler")
LONG_WAIT_S = 3600.0
_BATCH = 200
# The pause after each write. Under load many settlements gather meanwhile and share one script call.
_LINGER_S = 0.01
_PAUSE_FIRST_S, _PAUSE_MOST_S = 0.1, 2.0
_SOON_S = 1.0
_UNWRITTEN_S = 5.0
_LOOK_S = 1.0


class _Result(NamedTuple):
    """A settlement to write. `attempted` is None when no call was made and the claim is given back.

    `came`: when it was put here, by the monotonic clock (s).
    """

    settlement: Settlement
    attempted: Attempted | None
    came: float


class Settler:
    """A queue of settlements, and the task that writes them.

    `after` is called when some have been written. `observers` are called with each attempt after the ledger has
    answered. The answer also says whether this worker may go on calling, and `permission` notes that.
    """

    def __init__(
        self,
        ledger: Ledger,
        permission: Permission,
        after: Callable[[], None] = lambda: None,
        observers: Sequence[Observer] = (),
        unwritten_s: float = _UNWRITTEN_S,
    ) -> None:
        """`unwritten_s`: after how long a result that is not written yet is told (s)."""
        self._ledger = ledger
        self.permission = permission
        self._after = after
        self._observers = observers
        self._queue: deque[_Result] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._again = False  # the store did not answer, so the last batch may be written already
        self.outages = OutageLog("settling")
        self.settled = 0  # how many settlements were written
        self.lost_leases = 0  # how many attempts ended after their lease, so their results were not written
        self._told_until_s = float("-inf")
        self._unwritten_s = unwritten_s
        self._told_unwritten_s = float("-inf")  # results that came until then have been told

    def put(self, settlement: Settlement, attempted: Attempted | None = None) -> None:
        """Queue the result of an attempt, or give a claim back (`attempted` is None). Returns at once.

        A crash before it is written is safe. The lease ends, the attempt is repeated, and the API then says whether the
        group is closed.
        """
        self._queue.append(_Result(settlement, attempted, time.monotonic()))
        self._emptied.clear()
        self._filled.set()

    async def run(self) -> None:
        """Write settlements until cancelled. While the store fails, keep them all and try again every 0.1 to 2 s."""
        pause_s = _PAUSE_FIRST_S
        while True:
            await self._filled.wait()
            try:
                await self._write()
            except (StoreUnavailable, LedgerBroken) as error:
                self.outages.begins(error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_MOST_S)
            else:
                self.outages.ends()
                pause_s = _PAUSE_FIRST_S
                await asyncio.sleep(_LINGER_S)

    async def watch(self) -> None:
        """Log each result that is not written for too long, once, until cancelled. It may be lost with this process."""
        while True:
            self._tell_unwritten(time.monotonic() - self._unwritten_s)
            await asyncio.sleep(min(_LOOK_S, self._unwritten_s))

    def _tell_unwritten(self, until_s: float) -> None:
        for result in self._queue:  # the oldest first
            if result.came > until_s:
                break
            if result.came > self._told_unwritten_s and result.attempted is not None:
                log_unwritten(result.attempted)
        self._told_unwritten_s = until_s

    async def soon_empty(self) -> None:
        """Wait until everything has been written, for at most a second, because the store may be away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SOON_S):
                await self._emptied.wait()

    async def empty(self) -> None:
        """Wait until everything has been written. The caller sets the time-out."""
        await self._emptied.wait()

    def _tell_long_wait(self, hold_s: float) -> None:
        """Log it once when the API wants no calls for more than an hour. `hold_s`: for how long."""
        ends_s = time.monotonic() + hold_s
        if hold_s > LONG_WAIT_S and ends_s > self._told_until_s + LONG_WAIT_S:
            self._told_until_s = ends_s
            _log.critical(
                "the API asks for no calls during %.1f h (Retry-After), and the whole fleet holds back as long; ask "
                "Sorted whether it means that, and only then: closer resume --override-retry-after --why TEXT",
                hold_s / 3600,
            )

    async def _write(self) -> None:
        """Write the next settlements of the queue. Raises StoreUnavailable and LedgerBroken.

        Each leaves the queue when it is written or dropped, so a repeat after an error does not write it again.
        """
        batch = [self._queue[index] for index in range(min(_BATCH, len(self._queue)))]
        await sift(batch, self._settle, self._drop)
        self._again = False
        if not self._queue:
            self._filled.clear()
            self._emptied.set()
        self._after()

    async def _settle(self, batch: Sequence[_Result]) -> None:
        settlements = [result.settlement for result in batch]
        try:
            written, word = await self._ledger.settle(settlements, key=self.permission.key, again=self._again)
        except StoreUnavailable:
            self._again = True
            raise
        self.permission.hear(*word)
        self._tell_long_wait(max((settlement.hold_s for settlement in settlements), default=0.0))
        for is_written in written:
            self._count(self._queue.popleft(), Written.SETTLED if is_written else Written.LEASE_LOST)

    async def _drop(self, result: _Result, error: LedgerBroken) -> None:
        _log.error(
            "the result of the attempt on %s is dropped: %s. When its lease ends the group is attempted again",
            result.settlement.reference,
            error,
        )
        self._count(self._queue.popleft(), Written.DROPPED)

    def _count(self, result: _Result, written: Written) -> None:
        self.settled += written is Written.SETTLED
        if result.attempted is None:
            return
        self.lost_leases += written is Written.LEASE_LOST
        attempted = result.attempted._replace(written=written, waited_s=time.monotonic() - result.came)
        for observe in self._observers:
            try:
                observe(attempted)
            except Exception:
                _log.exception("an observer failed for the attempt on %s", result.settlement.reference)
