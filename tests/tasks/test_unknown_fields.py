"""Fields of a record that this release does not know are a later one's: every script keeps them as they came."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tasks.api_health import ApiHealth
from tasks.closure import Reason, State
from tasks.ledger.values import Observation
from tests.support import key_of
from tests.tasks.book import LEASE_S, Book

UNKNOWN: dict[str, Any] = {"y": 2, "hold": {"by": "ann", "since": 1_700_000_000_000}, "tags": ["a", "ü"], "on": True}
RECORD = key_of("c:sg_1")


async def retried(book: Book) -> None:
    """An attempt fails for now."""
    await book.settle(await book.claim("sg_1"), State.RETRYING, delay_s=5.0, health=ApiHealth.BAD)


async def requeued(book: Book) -> None:
    """An attempt fails for good, and an operator has it tried again."""
    await book.failed("sg_1")
    await book.ledger.requeue(["sg_1"], lock=True)


async def discarded(book: Book) -> None:
    """An operator gives it up."""
    await book.failed("sg_1")
    await book.ledger.discard(["sg_1"])


async def came_again(book: Book) -> None:
    """A new event comes, while it is open and after it has failed."""
    await book.receive("sg_1", event_id="e2")
    await book.failed("sg_1")
    await book.receive("sg_1", event_id="e3")


async def lost(book: Book) -> None:
    """Its lease ends without a word, found by the sweep and by a claim."""
    for find in (book.due, lambda: book.claim("sg_1")):
        await book.claim("sg_1")
        book.clock.forward(LEASE_S)
        await find()


async def reconciled(book: Book) -> None:
    """The API says that it is closed, and later that it is open."""
    await book.ledger.reconcile([Observation("sg_1", True, 0)], audit="", others={})
    entered_ms = (await book.read("sg_1")).entered_ms
    await book.ledger.reconcile([Observation("sg_1", False, entered_ms)], audit="", others={})


async def reconsidered(book: Book) -> None:
    """It was refused because of a key, and the key is accepted again."""
    await book.alive(w1="other")
    claim = await book.claim("sg_1", key="k")
    await book.settle(claim, State.FAILED, key="k", reason=Reason.FORBIDDEN, health=ApiHealth.FORBIDDEN)
    await book.receive(*(f"sg_x{number}" for number in range(4)))
    for number in range(4):
        refused: dict[str, Any] = {"reason": Reason.FORBIDDEN, "health": ApiHealth.FORBIDDEN}
        await book.settle(await book.claim(f"sg_x{number}", key="k"), State.FAILED, key="k", **refused)
    await book.due()
    assert await book.state("sg_1") is State.QUEUED


async def rebuilt(book: Book) -> None:
    """The agenda is lost, and rebuilt."""
    await book.redis.delete(key_of("agenda"))
    await book.inspect()


async def closed(book: Book) -> None:
    """It is closed."""
    await book.closed(await book.claim("sg_1"))


STEPS: list[Callable[[Book], Awaitable[None]]] = [
    retried, requeued, discarded, came_again, lost, reconciled, reconsidered, rebuilt, closed
]  # fmt: skip


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
async def test_they_are_kept(book: Book, step: Callable[[Book], Awaitable[None]]) -> None:
    """Whatever happens to the closure, what this release does not know is still in its record, and it can be read."""
    await book.receive("sg_1")
    record: Any = await book.redis.get(RECORD)
    await book.redis.set(RECORD, json.dumps(json.loads(record) | UNKNOWN))
    await step(book)
    record = await book.redis.get(RECORD)
    kept = json.loads(record)
    assert {name: kept.get(name) for name in UNKNOWN} == UNKNOWN
    assert (await book.read("sg_1")).as_json()["last_code"] != "unreadable"
