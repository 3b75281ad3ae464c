"""What makes the gate shut and open in its tests: calls that fail, an outage, a probe."""

from __future__ import annotations

from typing import Any

from tasks.api_health import ApiHealth
from tasks.closure import Reason, State
from tasks.ledger.values import Claim
from tests.support import key_of
from tests.tasks.book import Book

GROUPS = [f"sg_{number:03d}" for number in range(80)]


RETRY: dict[str, Any] = {"delay_s": 1.0, "health": ApiHealth.BAD}


async def fail(book: Book, reference: str, health: ApiHealth = ApiHealth.BAD, **more: Any) -> None:
    """One attempt that finds the API as `health` says."""
    await book.receive(reference)
    to = State.FAILED if health is ApiHealth.FORBIDDEN else State.RETRYING
    reason = Reason.FORBIDDEN if health is ApiHealth.FORBIDDEN else None
    await book.settle(await book.claim(reference), to, health=health, reason=reason, delay_s=1.0, **more)


async def outage(book: Book) -> int:
    """Groups fail one after the other until the gate shuts; how many it took."""
    for number, reference in enumerate(GROUPS, 1):
        await fail(book, reference)
        if not (await book.ledger.gate.look()).open:
            return number
    raise AssertionError("no outage")


async def probe(book: Book) -> Claim:
    """The one closure that may be attempted while the gate is shut."""
    [reference] = await book.due()
    return await book.claim(reference)


async def reopened(book: Book) -> None:
    """An outage is over: the next probe is answered well. The window is as it was before that reply."""
    await book.ledger.gate.resume()
    await book.closed(await probe(book))
    await book.redis.hset(key_of("gate"), "window", "4")


async def reason(book: Book) -> str | None:
    """Why the gate is shut."""
    return (await book.ledger.gate.look()).reason
