"""A ledger of an older release, whose keys begin with `closer:`, is moved, or the move is refused with a word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.errors import ConfigurationError
from tasks.events.event import GroupComplete
from tasks.ledger.ledger import Ledger
from tasks.ledger.old_move import move
from tasks.ledger.old_prefix import OLD_PREFIX, OldState, look
from tests.support import key_of, url_of, valkey

LEFT = [b"closer:audit", b"closer:events", b"closer:open", b"closer:policy"]  # the seal, and what is not closer's
REFERENCES = [f"sg_{number:04d}" for number in range(2500)]


@pytest.fixture
async def real(tmp_path: Path) -> AsyncIterator[Redis]:
    """A client of a real store with a ledger of an older release."""
    with valkey(tmp_path) as server, redis.Redis.from_url(url_of(server)) as store:
        client = Redis.from_url(url_of(server))
        events = [GroupComplete(reference, "wms", reference) for reference in REFERENCES]
        await Ledger(client).receive(events)
        store.delete(key_of("tally"), key_of("marks"))  # older releases counted nothing
        for key in list(store.scan_iter(match=key_of("*"), count=1000)):
            store.rename(key, key.replace(key_of("").encode(), OLD_PREFIX.encode(), 1))
        store.set("closer:events", "a stream that is called so")
        yield client
        await client.aclose()


async def moved(client: Redis) -> bool:
    """Whether the ledger is whole under the new prefix, and nothing of it is left under the old one."""
    closures = await Ledger(client).read(REFERENCES)
    agenda = await client.zcard(key_of("agenda"))
    left = [key async for key in client.scan_iter(match="closer:*", count=1000)]
    return None not in closures and agenda == len(REFERENCES) and sorted(left) == LEFT


async def test_an_old_ledger_is_moved(real: Redis) -> None:
    """Every record and index is there under the new prefix; a key that is not the ledger's stays."""
    assert (await look(real)).state is OldState.WAITS
    assert await move(real) == len(REFERENCES)
    assert await moved(real)
    assert (await look(real)).state is OldState.NOTHING


class Dying(Redis):
    """A client whose process dies at the n-th scan of the keys."""

    scans = 0

    async def scan(self, *args: Any, **kwargs: Any) -> Any:
        """Look at some keys."""
        self.scans += 1
        if self.scans > 2:
            raise SystemExit
        return await super().scan(*args, **kwargs)


async def test_a_move_that_was_cut_short_goes_on(real: Redis) -> None:
    """A worker dies in the middle: some records are moved, the rest is found by the next one."""
    dying = Dying(connection_pool=real.connection_pool)
    with pytest.raises(SystemExit):
        await move(dying)
    assert await real.exists(key_of("c:sg_0000"), key_of("agenda")) < 2
    assert (await look(real)).state is OldState.WAITS
    assert 0 < await move(real) < len(REFERENCES)
    assert await moved(real)


async def test_two_workers_move_it_at_once(real: Redis) -> None:
    """Neither stumbles over what the other has moved."""
    await asyncio.gather(move(real), move(real))
    assert await moved(real)


async def test_a_living_worker_of_the_old_release(real: Redis) -> None:
    """Nothing is moved while one gave a sign of life in the last minute; the words name it and what to do."""
    seconds, _ = await real.time()
    await real.hset("closer:workers", mapping={"host:1": json.dumps({"at": seconds * 1000}), "odd": b"\xff"})
    with pytest.raises(ConfigurationError, match=r"host:1 gave a sign of life .* stop every worker"):
        await move(real)
    assert not await real.exists(key_of("c:sg_0000"))
    await real.hset("closer:workers", "host:1", json.dumps({"at": (seconds - 61) * 1000}))
    await move(real)
    assert await moved(real)


async def test_nothing_is_overwritten(real: Redis) -> None:
    """Where a ledger of each release is there, the move is refused, and both stay as they are."""
    await Ledger(real).receive([GroupComplete("sg_new", "wms", "1")])
    with pytest.raises(ConfigurationError, match="two ledgers"):
        await move(real)
    assert await real.exists("closer:c:sg_0000", "closer:agenda", key_of("c:sg_new")) == 3


async def test_a_command_before_the_first_worker(real: Redis) -> None:
    """The clock that any command leaves in the gate is not a second ledger; a pause is one."""
    await Ledger(real).requeue(["sg_unknown"])
    assert set(await real.hkeys(key_of("gate"))) <= {b"clock", b"moved"}
    await real.hset("closer:gate", "paused", json.dumps({"since": 1, "by": "olga"}))
    await move(real)
    assert await moved(real)
    assert await real.hexists(key_of("gate"), "paused")


async def test_a_pause_before_the_first_worker_is_not_lost(real: Redis) -> None:
    """Somebody has paused this release before its first worker ran: nothing is moved over that, and it says so."""
    await Ledger(real).gate.pause(by="olga", why="wait")
    await real.hset("closer:gate", "clock", 1)
    with pytest.raises(ConfigurationError, match="two ledgers"):
        await move(real)
    assert await real.hexists(key_of("gate"), "paused")
