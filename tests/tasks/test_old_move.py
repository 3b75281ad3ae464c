"""The move of an older release's ledger may end at any step; the next worker ends it, nothing is lost or doubled."""

from __future__ import annotations

from contextlib import suppress
from itertools import count
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tasks.errors import StoreUnavailable
from tasks.ledger import old_move
from tasks.ledger.old_move import move
from tasks.ledger.old_prefix import OLD_PREFIX, SEAL, OldState, look
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.cut import way_that_ends

SEALED = {"closer:policy": {b"api": SEAL.encode()}, "closer:open": SEAL.encode(), "closer:audit": SEAL.encode()}


async def old_ledger(store: Redis) -> dict[Any, Any]:
    """Fill an empty store with a ledger of an older release, and return every key's content by the new key's name."""
    book = Book(store)
    await book.receive(*(f"sg_{number}" for number in range(8)))
    await book.closed(await book.claim("sg_0"))
    await book.failed("sg_1")
    await book.ledger.policy.hold_api()
    await book.ledger.gate.pause(by="ann", why="upgrade")
    await store.delete(key_of("tally"), key_of("marks"))  # older releases counted nothing
    contents = await dump(store, key_of(""))
    for key in contents:
        await store.rename(key, key.replace(key_of("").encode(), OLD_PREFIX.encode(), 1))
    return contents


async def dump(store: Redis, prefix: str) -> dict[Any, Any]:
    """The content of every key with this prefix."""
    return {key: await store.dump(key) for key in sorted(await store.keys(f"{prefix}*"))}


async def test_it_may_end_after_any_step(real: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """After each command at which a worker dies the ledger waits or is whole; the next worker makes it whole."""
    monkeypatch.setattr(old_move, "_STEP", 3)
    for step in count(1):
        await real.flushall()
        contents = await old_ledger(real)
        died = await dies_after(step, real)
        whole = await dump(real, key_of("")) == contents
        assert whole == ((await look(real)).state is OldState.NOTHING), step
        await move(real)
        assert await dump(real, key_of("")) == contents, step
        assert await is_sealed(real), step
        if not died:
            assert step > 100, "a move has more steps than this"
            return


async def dies_after(step: int, real: Redis) -> bool:
    """Move the ledger over a way that ends after so many commands; return whether it came to that."""
    steps = count(1)
    port = real.connection_pool.connection_kwargs["port"]
    async with way_that_ends(port, lambda _: next(steps) == step) as (url, way):
        dying = Redis.from_url(url, retry=Retry(NoBackoff(), 0))
        with suppress(StoreUnavailable):
            await move(dying)
        await dying.aclose()
        return way.ended


async def is_sealed(store: Redis) -> bool:
    """Whether the seal, and nothing else, is left under the old prefix."""
    found: dict[str, Any] = {
        "closer:policy": await store.hgetall("closer:policy"),
        "closer:open": await store.get("closer:open"),
        "closer:audit": await store.get("closer:audit"),
    }
    return found == SEALED and len(await store.keys("closer:*")) == len(SEALED)
