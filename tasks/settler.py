"""Writes settlements into the ledger: the lone one at once, many together, none forgotten while the store is away."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.ledger import Ledger, Settlement
from tasks.permission import Permission
from tasks.sift import sift
from tasks.trouble import Trouble

_log = logging.getLogger("closer.settler")
LONG_WAIT_S = 3600.0
_BATCH = 200
# After a write the next waits this long, so that under load many share one script call.
_LINGER_S = 0.01
_PAUSE_FIRST_S, _PAUSE_MOST_S = 0.1, 2.0
_SOON_S = 1.0


class Settler:
    """A queue of settlements, and the task that empties it. `after` is called when some have been written.

    The ledger answers with whether this worker may go on calling, which is noted in `permission`.
    """

    def __init__(self, ledger: Ledger, permission: Permission, after: Callable[[], None] = lambda: None) -> None:
        self._ledger = ledger
        self.permission = permission
        self._after = after
        self._queue: deque[Settlement] = deque()
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self.trouble = Trouble("settling")
        self.settled = 0
        self._told_until_s = float("-inf")

    def put(self, settlement: Settlement) -> None:
        """Hand over what an attempt came to. A crash before it is written repeats the attempt: the lease ends."""
        self._queue.append(settlement)
        self._emptied.clear()
        self._filled.set()

    async def run(self) -> None:
        """Write until cancelled."""
        pause_s = _PAUSE_FIRST_S
        while True:
            await self._filled.wait()
            try:
                await self._write()
            except (StoreUnavailable, LedgerBroken) as error:
                self.trouble.begins(error)
                await asyncio.sleep(pause_s)
                pause_s = min(pause_s * 2, _PAUSE_MOST_S)
            else:
                self.trouble.ends()
                pause_s = _PAUSE_FIRST_S
                await asyncio.sleep(_LINGER_S)

    async def soon_empty(self) -> None:
        """Wait until everything has been written, but not long: the store may be away."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_SOON_S):
                await self._emptied.wait()

    async def empty(self) -> None:
        """Wait until everything has been written; the caller sets the time-out."""
        await self._emptied.wait()

    def _tell_long_wait(self, hold_s: float) -> None:
        """Say it loudly, but once, when the API wants no calls for a long time."""
        ends_s = time.monotonic() + hold_s
        if hold_s > LONG_WAIT_S and ends_s > self._told_until_s + LONG_WAIT_S:
            self._told_until_s = ends_s
            _log.critical(
                "the API asks for no calls during %.1f h (Retry-After), and the whole fleet holds back as long; ask "
                "Sorted whether it means that, and only then: closer resume --override-retry-after --why TEXT",
                hold_s / 3600,
            )

    async def _write(self) -> None:
        """Write what waits. What is written or dropped leaves the queue at once: a repeat does not write it again."""
        batch = [self._queue[index] for index in range(min(_BATCH, len(self._queue)))]
        await sift(batch, self._settle, self._drop)
        if not self._queue:
            self._filled.clear()
            self._emptied.set()
        self._after()

    async def _settle(self, batch: Sequence[Settlement]) -> None:
        written, word = await self._ledger.settle(batch, key=self.permission.key)
        self.permission.hear(*word)
        self._tell_long_wait(max((settlement.hold_s for settlement in batch), default=0.0))
        for _ in written:
            self._queue.popleft()
        self.settled += len(written)

    async def _drop(self, settlement: Settlement, error: LedgerBroken) -> None:
        self._queue.popleft()
        _log.error(
            "the result of the attempt on %s is dropped: %s. When its lease ends the group is attempted again",
            settlement.reference,
            error,
        )
