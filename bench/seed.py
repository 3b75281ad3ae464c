"""Fills the ledger by its own methods, in batches: closures that are closed, failed, or wait for their next attempt."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence

from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Claim, Settlement

_BATCH = 500
Event = Callable[[str], GroupComplete]
Settle = Callable[[Claim], Settlement]


def lean(reference: str) -> GroupComplete:
    """An event that says the least it may: its source, its identity and the group."""
    return GroupComplete(reference, "urn:wms:leeds", f"evt-{reference}")


def rich(reference: str) -> GroupComplete:
    """An event with all that may be told: the customer's name for the group, a time, a trace."""
    number = int(reference[3:])
    return GroupComplete(
        reference,
        "urn:wms:leeds",
        f"01bdd7d1-48f1-4aa1-9246-{number:012x}",
        f"Leeds-{number:08d}",
        "2026-11-22T15:00:00Z",
        f"00-{number:032x}-00f067aa0ba902b7-01",
    )


def closed(claim: Claim) -> Settlement:
    """What a good attempt comes to."""
    attempt = Attempt(claim.at_ms, "warehouse-7f9c:12345", "", 200, None, None, 104, "closed", "closed", sent_ms=5)
    return Settlement(
        claim.reference, claim.lease, State.CLOSED, pack_attempt(attempt), Outcome.CLOSED, health=ApiHealth.GOOD
    )


def parked(claim: Claim) -> Settlement:
    """What an attempt comes to that will be made again in an hour."""
    detail = "HTTP 503"
    attempt = Attempt(
        claim.at_ms, "warehouse-7f9c:12345", "", 503, None, None, 104, "retry", "retry in 3600.0 s", detail
    )
    return Settlement(claim.reference, claim.lease, State.RETRYING, pack_attempt(attempt), delay_s=3600.0)


def failed(claim: Claim) -> Settlement:
    """What an attempt comes to that a person must look at."""
    attempt = Attempt(
        claim.at_ms, "warehouse-7f9c:12345", "", 409, "conflict", None, 104, "notlocked", "failed: not_locked", "open"
    )
    return Settlement(claim.reference, claim.lease, State.FAILED, pack_attempt(attempt), reason=Reason.NOT_LOCKED)


def fill(store_url: str, names: Sequence[str], event: Event, settle: Settle) -> float:
    """Receive, claim and settle a closure for each name; returns the seconds it took."""
    started = time.monotonic()
    asyncio.run(_fill(store_url, names, event, settle))
    return time.monotonic() - started


async def _fill(store_url: str, names: Sequence[str], event: Event, settle: Settle) -> None:
    async with Redis.from_url(store_url) as redis:
        ledger = Ledger(redis)
        for start in range(0, len(names), _BATCH):
            chunk = names[start : start + _BATCH]
            await ledger.receive([event(name) for name in chunk])
            claims = await ledger.claim(chunk, worker="warehouse-7f9c:12345", lease_s=60.0)
            await ledger.settle([settle(claim) for claim in claims.values() if isinstance(claim, Claim)])
