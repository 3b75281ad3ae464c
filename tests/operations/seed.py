"""Closures of any kind, put into a ledger the way workers do, without a worker."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from tasks.closure import Outcome, Reason, State
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Claim, Settlement

_CHUNK = 500


@dataclass(frozen=True)
class Seed:
    """One closure: failed for a reason, or else closed."""

    reference: str
    reason: Reason | None = None
    status: int | None = 200
    code: str | None = None
    source: str = "wms"
    detail: str = ""

    def settlement(self, claim: Claim) -> Settlement:
        """What its only attempt came to."""
        decision = f"failed: {self.reason}" if self.reason else "closed"
        attempt = Attempt(
            claim.at_ms, "host:1", status=self.status, code=self.code, correlation_id="c-" + self.reference,
            duration_ms=12, verdict="refused" if self.reason else "closed", decision=decision, detail=self.detail,
        )  # fmt: skip
        if self.reason:
            return Settlement(self.reference, claim.lease, State.FAILED, pack_attempt(attempt), reason=self.reason)
        return Settlement(self.reference, claim.lease, State.CLOSED, pack_attempt(attempt), outcome=Outcome.CLOSED)


NOT_LOCKED = Seed("sg_1", Reason.NOT_LOCKED, 409, "conflict", "wms-a", "HTTP 409 conflict; group is open")
SEEDS = [NOT_LOCKED, Seed("sg_2", Reason.GONE, 410, "gone", "wms-b"), Seed("sg_3", None, 200, None, "wms-b")]


async def plant(ledger: Ledger, seeds: Sequence[Seed]) -> None:
    """Receive, claim and settle them, in their order."""
    for start in range(0, len(seeds), _CHUNK):
        chunk = seeds[start : start + _CHUNK]
        references = [seed.reference for seed in chunk]
        await ledger.receive([GroupComplete(seed.reference, seed.source, f"e-{seed.reference}") for seed in chunk])
        claims = await ledger.claim(references, worker="host:1", lease_s=60)
        settlements = []
        for seed in chunk:
            claim = claims[seed.reference]
            assert isinstance(claim, Claim)
            settlements.append(seed.settlement(claim))
        assert all((await ledger.settle(settlements)).written)


def sow(url: str, seeds: Sequence[Seed]) -> None:
    """Plant them in the store at `url`."""

    async def work() -> None:
        async with Redis.from_url(url) as redis:
            await plant(Ledger(redis), seeds)

    asyncio.run(work())
