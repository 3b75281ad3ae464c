"""A worker carries on what nobody carries, and deletes what has been kept for long enough."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tasks.errors import OlderWorkers, StoreUnavailable
from tasks.ledger.bulk_action import BulkState
from tests.support import free_port, key_of, until_soon, url_of, valkey
from tests.tasks.book import Book
from tests.tasks.bulking import ANN, begin, carry, fail, read, step
from worker.operations.carry import Carrier
from worker.operations.carry import carry as carry_on
from worker.process.bulk_runner import BulkRunner


async def test_it_carries_on_what_nobody_carries(any_store: Redis) -> None:
    """Not what another process carries, and not what another program has damaged."""
    book = Book(any_store)
    await fail(book, "sg_0", "sg_1")
    mine, others, damaged = (
        await begin(book, "requeue", "sg_0", holder=""), await begin(book, "discard", "sg_1"),
        await begin(book, "discard", "sg_1", holder=""),
    )  # fmt: skip
    await book.redis.hset(key_of(f"action:{damaged}"), "matched", "many")
    running = asyncio.create_task(BulkRunner(book.ledger, "w1").step())
    done = False

    async def look() -> None:
        nonlocal done
        done = (await read(book, mine)).state is BulkState.DONE

    while not done:
        await look()
        await asyncio.sleep(0)
    running.cancel()
    assert (await read(book, others)).holder == ANN
    assert (await read(book, others)).left == 1


async def test_two_workers_that_look_at_the_same_time(any_store: Redis) -> None:
    """One of them carries it; the other one goes on looking for something else."""
    book = Book(any_store)
    await fail(book, "sg_0")
    action_id = await begin(book, "requeue", "sg_0", holder="w2")
    await carry_on(book.ledger, action_id, "requeue", Carrier("w1", follows=False), 1)
    assert (await read(book, action_id)).left == 1


async def test_told_to_leave_or_to_stop(any_store: Redis) -> None:
    """Left, another one takes it at once; stopped, nobody does, and it says why."""
    book = Book(any_store)
    await fail(book, "sg_0", "sg_1")
    action_id = await begin(book, "requeue", "sg_0", "sg_1", rate=1.0)
    carrier = Carrier(ANN, because="ann interrupted it")
    running = asyncio.create_task(carry_on(book.ledger, action_id, "requeue", carrier, 2))
    carrier.leave.set()
    await running
    assert await book.ledger.bulk.free() == [action_id]
    stopped: list[int] = []
    carrier = Carrier("bob", because="bob interrupted it", progress=stopped.append)
    running = asyncio.create_task(carry_on(book.ledger, action_id, "requeue", carrier, 2))
    await until_soon(lambda: bool(stopped))
    carrier.stop.set()
    await running
    assert (await read(book, action_id)).stopped_because == "bob interrupted it"
    assert (await carry(book, action_id)).state is BulkState.STOPPED


async def test_a_store_that_is_started_again(tmp_path: Path) -> None:
    """The step that finds it away is taken again, and each item is done once; one that stays away is told."""
    port, groups = free_port(), [f"sg_{number}" for number in range(6)]
    with valkey(tmp_path, port) as server:
        client = Redis.from_url(url_of(server))
        book = Book(client)
        await fail(book, *groups)
        action_id = await begin(book, "requeue", *groups)
        looked: list[int] = []
        await step(book, action_id, most=1)
    carrier = Carrier(ANN, progress=looked.append)
    running = asyncio.create_task(carry_on(book.ledger, action_id, "requeue", carrier, 5))
    await asyncio.sleep(0)
    with valkey(tmp_path, port):
        await running
        assert (await read(book, action_id)).changed == 6
        action_id = await begin(book, "discard", items={})
    with pytest.raises(StoreUnavailable):
        await carry_on(book.ledger, action_id, "discard", carrier, 0)
    await client.aclose()


async def test_older_workers_are_not_waited_for(any_store: Redis) -> None:
    """Whoever carries a hold is told at once which worker must stop first."""
    book = Book(any_store)
    action_id = await begin(book, "hold", items={"sg_0": 0})
    await book.redis.hset(key_of("workers"), "old", f'{{"at": {book.clock.ms}, "ledger_version": 1}}')
    with pytest.raises(OlderWorkers):
        await carry_on(book.ledger, action_id, "hold", Carrier(ANN), 1)
