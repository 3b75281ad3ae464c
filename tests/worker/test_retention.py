"""What is old is deleted by age, and only by an age that somebody has set."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from tasks.ledger.audit import AuditEntry
from tasks.ledger.ledger import Ledger
from tests.support import Process, key_of, until, until_soon
from worker.process.retention import Retention

DAY_MS = 86_400_000


@pytest.fixture
def ledger(real: Redis) -> Ledger:
    """A ledger in a real store."""
    return Ledger(real)


async def put_aside(ledger: Ledger, days_ago: int, number: int) -> None:
    """So many events that were rejected that long ago."""
    now_ms = await ledger.catalogue.now_ms()
    entry: dict[Any, Any] = {"event": "x", "problems": "[]", "origin": "1-0"}
    for count in range(number):
        await ledger.redis.xadd(key_of("rejected"), entry, id=f"{now_ms - days_ago * DAY_MS}-{count}")


@asynccontextmanager
async def repeated(step: Callable[[], Any]) -> AsyncIterator[None]:
    """Do the step again and again meanwhile, as a worker does."""

    async def repeat() -> None:
        while True:
            await step()

    running = asyncio.create_task(repeat())
    yield
    running.cancel()


async def test_rejected_events_are_deleted_by_their_age(ledger: Ledger) -> None:
    """All that are older than the age that was set, over as many steps as it takes, with one entry in the audit."""
    await put_aside(ledger, 31, 450)
    await put_aside(ledger, 29, 3)
    letters = ledger.dead_letters
    async with repeated(Retention(ledger, closed_days=90, rejected_days=30).step):
        await until_soon_left(ledger, 3)
    [entry] = [one async for one in ledger.audit.entries() if isinstance(one, AuditEntry)]
    assert (entry.action.name, entry.action.action, entry.changed) == ("closer", "forget rejected", 450)
    assert entry.action.why == "they last came over 30 days ago (CLOSER_RETAIN_REJECTED_DAYS)"
    assert len([one async for one in letters.newest()]) == 3


async def until_soon_left(ledger: Ledger, number: int) -> None:
    """Wait until so many are left."""
    left = -1

    async def look() -> None:
        nonlocal left
        left = await ledger.redis.xlen(key_of("rejected"))

    async with repeated(look):
        await until_soon(lambda: left == number)


async def test_nothing_is_deleted_where_no_age_is_set(ledger: Ledger) -> None:
    """However old and however many they are."""
    await put_aside(ledger, 10_000, 450)
    steps = Retention(ledger, closed_days=1, rejected_days=0)
    assert not await steps._forget_rejected()
    assert await ledger.redis.xlen(key_of("rejected")) == 450


async def test_a_round_begins_once_an_hour(ledger: Ledger) -> None:
    """A second round right after the first would write into the audit every minute."""
    steps = Retention(ledger, closed_days=1, rejected_days=1)
    assert not await steps._forget_rejected()
    await put_aside(ledger, 10, 1)
    assert not await steps._forget_rejected()
    assert await ledger.redis.xlen(key_of("rejected")) == 1


def test_a_worker_deletes_by_the_age_that_is_set(store_url: str, store: sync_redis.Redis, tmp_path: Any) -> None:
    """CLOSER_RETAIN_REJECTED_DAYS reaches it."""
    store.xadd(key_of("rejected"), {"event": "x", "problems": "[]"}, id="1-1")
    settings = {"redis_url": store_url, "api_base_url": "http://127.0.0.1:1", "allow_http": "true"}
    with Process(tmp_path, "worker", retain_rejected_days=1, data_dir=tmp_path, **settings):
        until(lambda: not store.xlen(key_of("rejected")), "the rejected event is deleted")
