"""The closures: each step of each one's life is one script call.

Each method is atomic (`lua/`), for any number of closures. Durations go in, and the store's clock decides: no worker's
clock is ever compared with another's.
"""

from __future__ import annotations

from collections.abc import Sequence

from tasks.closure import Closure, Reason
from tasks.errors import ForeignApi
from tasks.events.event import GroupComplete
from tasks.ledger import codec
from tasks.ledger.scripts import Scripts, shown
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
    """Writes and reads closures. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts, api: str) -> None:
        """`api`: the address of the API that claims are called at."""
        self._scripts = scripts
        self._api = api

    async def receive(self, events: Sequence[GroupComplete]) -> list[Received]:
        """Write events down: after this they cannot be lost. Deduplicated by event and by group."""
        arguments = codec.arguments(codec.event_argument, events)
        return [Received(word.decode()) for word in await self._scripts.run("receive", _REASONS, *arguments)]

    async def due(self, *, limit: int, grace_s: float, most: int, key: str = "") -> Due:
        """Take up to `limit` references that must be looked at now; see `lua/due.lua`. `key`: the name of one's key."""
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
        """Lease closures to `worker`. `rate_limit` is in calls per second over the whole fleet, 0 for none.

        Raises ForeignApi, and claims nothing, when the ledger is for another API.
        """
        between_ms, lease_ms = pause_ms(rate_limit), int(lease_s * 1000)
        rows = await self._scripts.run("claim", lease_ms, between_ms, worker, key, self._api, *references)
        if rows and rows[0][0] == b"foreign":
            raise ForeignApi(shown(rows[0][1]), self._api)
        return {ref: codec.claim_of(ref, row) for ref, row in zip(references, rows, strict=True)}

    async def undispatch(self, references: Sequence[str]) -> None:
        """Make queued closures due at once: their task message was not sent, or will not be worked on."""
        await self._scripts.run("undispatch", *references)

    async def settle(self, settlements: Sequence[Settlement], *, key: str = "", again: bool = False) -> Settled:
        """Write down what attempts came to. `key`: the name of the key that they were made with.

        `again`: some may be written already, because the store's answer did not come; those count as written.
        """
        arguments = codec.arguments(codec.settlement_argument, settlements)
        word, *written = await self._scripts.run("settle", key, "1" if again else "", *arguments)
        return Settled([row == 1 for row in written], Word(*word))

    async def requeue(
        self, references: Sequence[str], *, trigger: str = "requeue", lock: bool = False, audit: str = ""
    ) -> list[Operated]:
        """Queue failed closures again, with a new deadline. Returns for each what was done.

        What was changed is added to the audit's entry `audit` in the same step.
        """
        words = await self._scripts.run("operate", "requeue", trigger, "1" if lock else "", audit, *references)
        return [Operated(word.decode()) for word in words]

    async def discard(self, references: Sequence[str], *, audit: str = "") -> list[Operated]:
        """Give up failed closures for good. Returns for each what was done; `audit`: as above."""
        words = await self._scripts.run("operate", "discard", "", "", audit, *references)
        return [Operated(word.decode()) for word in words]

    async def reconcile(
        self, observations: Sequence[Observation], *, audit: str, others: dict[str, int]
    ) -> list[Reconciled]:
        """Write down what the API says, where the ledger disagrees. Returns for each what was done.

        `others` counts, for the audit, those of the same chunk that agree or cannot be told.
        """
        flat = [
            word for ref, closed, since_ms in observations for word in (ref, "closed" if closed else "open", since_ms)
        ]
        return [
            Reconciled(word.decode())
            for word in await self._scripts.run("reconcile", audit, codec.compact_json(others), *flat)
        ]

    async def prune(self, *, keep_s: float, limit: int = 500) -> int:
        """Forget closures that ended more than `keep_s` ago; returns how many (at most twice `limit`)."""
        forgotten: int = await self._scripts.run("prune", int(keep_s * 1000), limit)
        return forgotten

    async def read(self, references: Sequence[str]) -> list[Closure | None]:
        """The closures of these references, None for unknown ones."""
        rows = await self._scripts.run("read", *references)
        return [codec.closure_of(ref, row) for ref, row in zip(references, rows, strict=True)]
