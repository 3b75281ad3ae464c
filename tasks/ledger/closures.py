"""The closures. Each step of a closure's life is one script call, which is atomic for any number of closures.

Callers pass durations, and the script adds them to the store's clock. So the clocks of workers are never compared.
A crash before a call changes nothing. After it the ledger knows the step, and the agenda or a lease goes on from it.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.closure import Closure, Reason
from tasks.errors import ForeignApi
from tasks.events.event import Event
from tasks.ledger import codec
from tasks.ledger.scripts import Scripts, shown
from tasks.ledger.tally import Intake
from tasks.ledger.values import (
    Claim,
    Due,
    Observation,
    Operated,
    Received,
    Reconciled,
    Settled,
    Settlement,
    Unclaimed,
    Word,
    pause_ms,
)

_REASONS = " ".join(Reason)


class Closures:
    """Writes and reads closures. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts, api: str) -> None:
        """`api`: the address of the API that this process calls, see `api_address`; "" when it calls none."""
        self._scripts = scripts
        self._api = api

    async def receive(self, events: Sequence[Event], *, intake: Intake = Intake.STREAM) -> list[Received]:
        """Write events down, and return what became of each. From then on they cannot be lost.

        `intake`: the way that they came, for the counts.

        A new event queues a failed closure again. For any other closure that exists, an event is a duplicate. A cancel
        event holds its group. Events of one call are received in their order. A caller acknowledges events only after
        this call, so a crash in between delivers them again and changes nothing.
        """
        arguments = codec.arguments(codec.event_argument, events)
        return [
            Received(word.decode()) for word in await self._scripts.run("receive", _REASONS, intake.value, *arguments)
        ]

    async def due(self, *, limit: int, grace_s: float, most: int, key: str = "") -> Due:
        """Take up to `limit` references that are due, for the caller to name in task messages; see `lua/due.lua`.

        `grace_s`: how long a message may be on its way before it counts as lost. `most`: references that messages of
        the whole fleet may name at the same time. `key`: the name of this worker's API key.

        Each reference is back on the agenda for the end of `grace_s`. So when the caller crashes, it is due again then.
        """
        row = await self._scripts.run("due", limit, int(grace_s * 1000), most, key)
        wait_ms, on_their_way, word, probe, *references = row
        return Due(
            [ref.decode() for ref in references],
            None if wait_ms < 0 else wait_ms / 1000,
            on_their_way,
            Word(*word),
            probe.decode() or None,
        )

    async def claim(
        self, references: Sequence[str], *, worker: str, lease_s: float, rate_limit: float = 0.0, key: str = ""
    ) -> dict[str, Claim | Unclaimed]:
        """Lease closures to `worker` for `lease_s` seconds. Return for each reference its claim, or why there is none.

        `rate_limit`: calls per second of the whole fleet, 0 for no limit; it counts only until the fleet has a policy.
        `key`: the name of this worker's API key. Raises ForeignApi, and claims nothing, when the ledger is for another
        API.

        The lease guards the closure from here on. When the worker crashes, the lease ends and the closure is due again.
        """
        between_ms, lease_ms = pause_ms(rate_limit), int(lease_s * 1000)
        rows = await self._scripts.run("claim", lease_ms, between_ms, worker, key, self._api, *references)
        if rows and rows[0][0] == b"foreign":
            raise ForeignApi(shown(rows[0][1]), self._api)
        return {ref: codec.claim_of(ref, row) for ref, row in zip(references, rows, strict=True)}

    async def undispatch(self, references: Sequence[str]) -> None:
        """Make queued closures due at once, because their task message was not sent or will not be worked on."""
        await self._scripts.run("undispatch", *references)

    async def settle(self, settlements: Sequence[Settlement], *, key: str = "", again: bool = False) -> Settled:
        """Write down the results of attempts. Return which were written, and what this worker may do now.

        `key`: the name of the API key that the calls were made with. `again`: an earlier call may have written some
        of them, because the store's answer to it was lost; those count as written.

        A result whose lease has ended is not written, because the closure may be in another worker's hands.
        """
        arguments = codec.arguments(codec.settlement_argument, settlements)
        word, *written = await self._scripts.run("settle", key, "1" if again else "", *arguments)
        return Settled([row == 1 for row in written], Word(*word))

    async def requeue(
        self, references: Sequence[str], *, trigger: str = "requeue", lock: bool = False, audit: str = ""
    ) -> list[Operated]:
        """Queue failed closures again, with a new deadline by the fleet's policy. Return what was done with each.

        `trigger`: noted on the attempts that follow. `lock`: lock the group before it is closed. `audit`: the id of
        the audit's entry to which the same step adds what it changed, "" for none.
        """
        words = await self._scripts.run("operate", "requeue", trigger, "1" if lock else "", audit, *references)
        return [Operated(word.decode()) for word in words]

    async def discard(self, references: Sequence[str], *, audit: str = "") -> list[Operated]:
        """Give up failed closures for good, and return what was done with each. `audit`: as in `requeue`."""
        words = await self._scripts.run("operate", "discard", "", "", audit, *references)
        return [Operated(word.decode()) for word in words]

    async def reconcile(
        self, observations: Sequence[Observation], *, audit: str, others: dict[str, int]
    ) -> list[Reconciled]:
        """Correct closures whose state differs from what the API says, and return what was done with each.

        `others`: for the audit, how many groups of the same chunk were not passed, by why. `audit`: as in `requeue`.
        A closure that has changed its state since the API was asked is left alone.
        """
        flat = [
            word for ref, closed, since_ms in observations for word in (ref, "closed" if closed else "open", since_ms)
        ]
        return [
            Reconciled(word.decode())
            for word in await self._scripts.run("reconcile", audit, codec.compact_json(others), *flat)
        ]

    async def prune(self, *, keep_s: float, limit: int = 500) -> int:
        """Delete closures that were closed or discarded more than `keep_s` seconds ago, and return how many.

        `limit`: the most to delete of each of the two states. Failed closures are never deleted.
        """
        forgotten: int = await self._scripts.run("prune", int(keep_s * 1000), limit)
        return forgotten

    async def read(self, references: Sequence[str]) -> list[Closure | None]:
        """Return the closure of each reference, or None when the ledger does not know it. Nothing is changed."""
        rows = await self._scripts.run("read", *references)
        return [codec.closure_of(ref, row) for ref, row in zip(references, rows, strict=True)]
