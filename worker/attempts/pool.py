"""Claims groups and attempts them, as many at the same time as the settings allow."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from contextlib import suppress

from tasks.api_health import ApiHealth
from tasks.attempt import Attempter
from tasks.closure import State
from tasks.errors import LedgerBroken, NotTaken
from tasks.ledger.ledger import Ledger
from tasks.ledger.sift import sift
from tasks.ledger.values import Claim, Settlement, Unclaimed
from worker.attempts.settler import Settler

_log = logging.getLogger("closer.pool")


class AttemptPool:
    """Keeps at most `concurrency` attempts in flight.

    It claims a few groups more than that, so that a free runner need not wait for the store.
    """

    def __init__(
        self,
        ledger: Ledger,
        attempter: Attempter,
        settler: Settler,
        *,
        worker: str,
        concurrency: int,
        lease_s: float,
        budget_s: float,
        rate_limit: float = 0.0,
    ) -> None:
        """`worker`: this worker's name. `rate_limit`: calls per second of the whole fleet, 0 for no limit.

        `lease_s`: how long a claim is leased. `budget_s`: how long one attempt may take (both s). An attempt that might
        not end before its lease is not begun.
        """
        self._ledger = ledger
        self._attempter = attempter
        self._settler = settler
        self._worker = worker
        self._lease_s = lease_s
        self._patience_s = lease_s - budget_s
        self._rate_limit = rate_limit
        self._concurrency = concurrency
        self._enough = max(1, concurrency // 4)
        self._ready: asyncio.Queue[tuple[Claim, float]] = asyncio.Queue()
        self._runners: list[asyncio.Task[None]] = []
        self._idle = 0  # runners that wait for a claim
        self._freed = asyncio.Event()  # set whenever a runner has nothing in hand
        self._room = asyncio.Event()
        self._room.set()
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()
        self.in_flight = 0

    @property
    def draining(self) -> bool:
        """Whether the process is stopping."""
        return self._stopping.is_set()

    @property
    def busy(self) -> bool:
        """Whether there is no room for another batch. That this worker takes no message is then right."""
        return not self._room.is_set()

    @property
    def waiting(self) -> int:
        """How many closures are claimed and not yet attempted."""
        return self._ready.qsize() + len(self._runners) - self._idle - self.in_flight

    async def claim(self, references: Sequence[str]) -> list[str]:
        """Wait for room, claim these groups, and begin to attempt those that were claimed.

        Returns the references that the ledger does not know or whose record it cannot read: nothing is begun for these.
        Raises NotTaken when the process stops. Raises StoreUnavailable, LedgerBroken and ForeignApi.
        """
        async with self._turn:
            await self._room.wait()
            if self.draining:
                raise NotTaken("this process is stopping")
            return await self._claim(references)

    async def drain(self) -> None:
        """Claim no more, give back claims that were not begun, and wait for calls in flight.

        The caller sets the time-out. When the process ends earlier, nothing is lost: the leases end by themselves.
        """
        self._stopping.set()
        self._set_room()
        async with self._turn:  # the batch in `claim` has ended, and no other begins
            while not self._ready.empty():
                self._give_back(self._ready.get_nowait()[0])
        while self._idle < len(self._runners):
            self._freed.clear()
            await self._freed.wait()
        for runner in self._runners:
            runner.cancel()

    async def _claim(self, references: Sequence[str]) -> list[str]:
        """Claim without waiting for room. Returns as `claim` does."""
        found: dict[str, Claim | Unclaimed] = {}

        async def claim(some: Sequence[str]) -> None:
            claims = await self._ledger.claim(
                some,
                worker=self._worker,
                lease_s=self._lease_s,
                rate_limit=self._rate_limit,
                key=self._settler.permission.key,
            )
            found.update(claims)
            for one in claims.values():
                if isinstance(one, Claim):
                    self._begin(one)

        if references:
            await sift(references, claim, _say_unclaimable)
        _say_unreadable([ref for ref, one in found.items() if one is Unclaimed.UNREADABLE])
        return [ref for ref, one in found.items() if one in (Unclaimed.UNKNOWN, Unclaimed.UNREADABLE)]

    def _begin(self, claim: Claim) -> None:
        self._ready.put_nowait((claim, time.monotonic()))
        if self._ready.qsize() > self._idle and len(self._runners) < self._concurrency:
            self._runners.append(asyncio.create_task(self._run()))
        self._set_room()

    async def _run(self) -> None:
        """Attempt one claim after the other. There are at most `concurrency` of these runners."""
        while True:
            self._idle += 1
            self._freed.set()
            claim, claimed = await self._ready.get()
            self._idle -= 1
            self._set_room()
            try:
                await self._work_on(claim, claimed)
            except Exception:
                _log.critical("an attempt died without a result; its lease ends by itself", exc_info=True)

    async def _work_on(self, claim: Claim, claimed: float) -> None:
        """Wait for the slot that the rate limit reserved, attempt the claim, and hand over the result."""
        # The slot is an absolute time. A runner that is late calls at once: waiting again would push its call into a
        # later slot.
        slot = claimed + claim.wait_s
        if (left_s := slot - time.monotonic()) > 0:
            await self._until_stopping(left_s)
        if (
            self.draining
            or not self._settler.permission.allows(claim.at_ms)
            or time.monotonic() - slot > self._patience_s
        ):
            self._give_back(claim)
            return
        self.in_flight += 1
        try:
            attempted = await self._attempter.attempt(claim)
        finally:
            self.in_flight -= 1
        settlement = attempted.settlement
        self._settler.put(settlement, attempted)
        if settlement.health is not ApiHealth.GOOD or settlement.hold_s:
            await self._settler.soon_empty()  # it may shut the gate; then the claims here must not be called

    async def _until_stopping(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()

    def _give_back(self, claim: Claim) -> None:
        self._settler.put(Settlement(claim.reference, claim.lease, State.QUEUED))

    def _set_room(self) -> None:
        if self._ready.qsize() <= self._enough or self.draining:
            self._room.set()
        else:
            self._room.clear()


async def _say_unclaimable(reference: str, error: LedgerBroken) -> None:
    shown = reference.encode("ascii", "backslashreplace").decode()
    _log.error("%s cannot be claimed, and is not attempted (%s); see: closer show %s", shown, error, shown)


def _say_unreadable(references: list[str]) -> None:
    if references:
        _log.error(
            "the store holds damaged records of %d groups (%s%s): they are attempted anew, what was known of them is "
            "lost; find out what else writes to closer's keys, or what the store's disk has lost",
            len(references),
            ", ".join(references[:3]),
            " …" if references[3:] else "",
        )
