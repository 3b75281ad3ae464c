"""The attempts in flight in this process: takes batches of references, claims them, attempts them, within limits."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Sequence
from typing import Any

from tasks.attempt import Attempter
from tasks.closure import State
from tasks.event import GroupComplete, Rejection, is_reference
from tasks.ledger import Claim, Ledger, Settlement, Unclaimed
from tasks.settler import Settler

_log = logging.getLogger("closer.pool")


class Draining(Exception):
    """The process is stopping: it takes no more work."""


class AttemptPool:
    """At most `concurrency` attempts in flight, and a few more claimed: a free slot never waits for the store."""

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
        """`budget_s`: the time one attempt may take; one that cannot end before its lease is not begun."""
        self._ledger = ledger
        self._attempter = attempter
        self._settler = settler
        self._worker = worker
        self._lease_s = lease_s
        self._patience_s = lease_s - budget_s
        self._rate_limit = rate_limit
        self._slots = asyncio.Semaphore(concurrency)
        self._enough = max(1, concurrency // 4)
        self._waiting: dict[asyncio.Task[None], Claim] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._room = asyncio.Event()
        self._room.set()
        self._turn = asyncio.Lock()
        self.draining = False
        self.taken_at = time.monotonic()

    @property
    def busy(self) -> bool:
        """Whether there is no room for another batch: then nothing is taken, and nothing is wrong."""
        return not self._room.is_set() or self._slots.locked()

    @property
    def in_flight(self) -> int:
        """Attempts that are being made now."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Closures claimed and not yet begun."""
        return len(self._waiting)

    async def take(self, references: Any, origin: str) -> None:
        """Take a batch in hand; returns when every reference is claimed, or needs nothing now.

        From then on the lease keeps it, not the task message: a crash repeats the attempt when the lease ends.
        Raises Draining, or StoreUnavailable: then the message must be kept.
        """
        self.taken_at = time.monotonic()
        origin = "".join(char if char.isprintable() else " " for char in origin)  # a foreign program may choose it
        good = await self._usable(references, origin)
        async with self._turn:
            await self._room.wait()
            if self.draining:
                raise Draining("this process is stopping")
            claims = await self._claim(good)
            unknown = [ref for ref in good if claims[ref] is Unclaimed.UNKNOWN]
            if unknown:
                await self._ledger.receive([GroupComplete(ref, "celery", origin) for ref in unknown])
                claims |= await self._claim(unknown)
            for claim in claims.values():
                if isinstance(claim, Claim):
                    self._begin(claim)

    async def drain(self) -> None:
        """Take no more; hand back what has not begun; wait for what has. The caller sets the time-out."""
        self.draining = True
        self._room.set()
        async with self._turn:  # a batch that was being claimed is claimed now, and no other will be
            for task, claim in self._waiting.items():
                task.cancel()
                self._hand_back(claim)
        while tasks := self._waiting.keys() | self._running:
            await asyncio.wait(tasks)

    async def _usable(self, references: Any, origin: str) -> list[str]:
        """The references without repeats; what is none is put aside as rejected: any program may send a task."""
        if isinstance(references, str):
            references = [references]
        if not isinstance(references, list):
            await self._reject(references, "references: a list of strings is needed", origin)
            return []
        good = dict.fromkeys(ref for ref in references if is_reference(ref))
        for index, reference in enumerate(references):
            if not is_reference(reference):
                await self._reject(reference, f"references[{index}]: 1 to 128 characters of A-Z a-z 0-9 _ -", origin)
        return list(good)

    async def _reject(self, value: Any, problem: str, origin: str) -> None:
        await self._ledger.reject(json.dumps(value).encode(), Rejection((problem,)), f"task {origin}")

    async def _claim(self, references: Sequence[str]) -> dict[str, Claim | Unclaimed]:
        if not references:
            return {}
        return await self._ledger.claim(
            references, worker=self._worker, lease_s=self._lease_s, rate_limit=self._rate_limit
        )

    def _begin(self, claim: Claim) -> None:
        task = asyncio.create_task(self._run(claim, time.monotonic()))
        self._waiting[task] = claim
        task.add_done_callback(self._ended)
        self._set_room()

    async def _run(self, claim: Claim, claimed: float) -> None:
        """Wait for the slot that the rate limit reserved and for a free one here, attempt, hand over the result."""
        task = asyncio.current_task()
        assert task is not None
        if claim.wait_s:
            await asyncio.sleep(claim.wait_s)
        async with self._slots:
            self._waiting.pop(task, None)
            self._running.add(task)
            self._set_room()
            if time.monotonic() - claimed - claim.wait_s > self._patience_s:
                self._hand_back(claim)
            else:
                self._settler.put(await self._attempter.attempt(claim))

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._waiting.pop(task, None)
        self._running.discard(task)
        self._set_room()
        if not task.cancelled() and (error := task.exception()):
            _log.critical("an attempt died without a result; its lease ends by itself", exc_info=error)

    def _hand_back(self, claim: Claim) -> None:
        self._settler.put(Settlement(claim.reference, claim.lease, State.QUEUED))

    def _set_room(self) -> None:
        if len(self._waiting) <= self._enough or self.draining:
            self._room.set()
        else:
            self._room.clear()
