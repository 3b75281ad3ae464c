"""A worker carries on what nobody carries, and deletes what has been kept for long enough."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tasks.errors import LedgerBroken, OlderWorkers, StoreUnavailable
from tasks.ledger.bulk_action import BulkAction, BulkState
from tests.support import free_port, key_of, until_soon, url_of, valkey
from tests.tasks.book import Book
from tests.tasks.bulking import ANN, begin, carry, fail, read, step
from worker.operations.asked_step import Answered, Asks
from worker.operations.carry import Carrier
from worker.operations.carry import carry as carry_on
from worker.operations.step import CouldNot
from worker.process.bulk_runner import BulkRunner


class Nobody:
    """Asks nothing: no action here needs that."""

    strict = False

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """It is not called."""
        raise AssertionError((action_id, references))


NOBODY = Nobody()


@asynccontextmanager
async def runner(book: Book, name: str = "w1", asks: Asks = NOBODY) -> AsyncIterator[None]:
    """A worker's runner at work, whatever fails."""
    made = BulkRunner(book.ledger, name, asks)

    async def run() -> None:
        while True:
            with suppress(LedgerBroken):
                await made.step()
            await asyncio.sleep(0)

    running = asyncio.create_task(run())
    yield
    assert not running.done()
    running.cancel()


async def until_done(book: Book, action_id: str) -> BulkAction:
    """The action when it has ended."""
    async with asyncio.timeout(20):
        while (action := await read(book, action_id)).is_open:  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(0)
    return action


async def test_it_carries_on_what_nobody_carries(any_store: Redis) -> None:
    """Not what another process carries, and not what another program has damaged."""
    book = Book(any_store)
    await fail(book, "sg_0", "sg_1")
    mine, others, damaged = (
        await begin(book, "requeue", "sg_0", holder=""), await begin(book, "discard", "sg_1"),
        await begin(book, "discard", "sg_1", holder=""),
    )  # fmt: skip
    await book.redis.hset(key_of(f"action:{damaged}"), "matched", "many")
    async with runner(book):
        assert (await until_done(book, mine)).changed == 1
    assert (await read(book, others)).holder == ANN
    assert (await read(book, others)).left == 1


async def test_one_that_waits_keeps_no_other_waiting(any_store: Redis) -> None:
    """A canary is out, another one waits for its pace, a third one's key is another program's: the fourth one ends."""
    book = Book(any_store)
    groups = [f"sg_{number}" for number in range(8)]
    await fail(book, *groups)
    await begin(book, "requeue", *groups[:2], holder="", canary=1)
    await begin(book, "requeue", *groups[2:4], holder="", rate=0.001)
    broken = await begin(book, "requeue", *groups[4:6], holder="")
    await book.redis.set(key_of(f"action:{broken}:not"), "not ours")
    last = await begin(book, "discard", *groups[6:], holder="")
    async with runner(book):
        assert (await until_done(book, last)).changed == 2


async def test_one_that_another_worker_has_taken(any_store: Redis) -> None:
    """It is left to that one, and taken when that one is gone."""
    book = Book(any_store)
    await fail(book, "sg_0", "sg_1")
    action_id = await begin(book, "requeue", "sg_0", "sg_1", holder="", rate=1.0)
    made = BulkRunner(book.ledger, "w1", NOBODY)
    await made._look()
    await step(book, action_id, "w2")
    await made._carry(action_id)
    assert made._carried == {}
    book.clock.forward(60)
    await made._look()
    await made._carry(action_id)
    assert (await read(book, action_id)).changed == 2


async def test_told_to_leave_or_to_stop(any_store: Redis) -> None:
    """Left, another one takes it at once; stopped, nobody does, and it says why."""
    book = Book(any_store)
    await fail(book, "sg_0", "sg_1")
    action_id = await begin(book, "requeue", "sg_0", "sg_1", rate=1.0)
    carrier = Carrier(ANN, NOBODY, because="ann interrupted it")
    running = asyncio.create_task(carry_on(book.ledger, action_id, "requeue", carrier, 2))
    carrier.leave.set()
    await running
    assert await book.ledger.bulk.free() == [action_id]
    stopped: list[int] = []
    carrier = Carrier("bob", NOBODY, because="bob interrupted it", progress=stopped.append)
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
    carrier = Carrier(ANN, NOBODY, progress=looked.append)
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
        await carry_on(book.ledger, action_id, "hold", Carrier(ANN, NOBODY), 1)


async def test_what_it_waits_for_is_told_once(any_store: Redis) -> None:
    """Whoever carries an action is told when it begins to wait, and for what."""
    book = Book(any_store)
    await fail(book, "sg_0", "sg_1")
    await book.ledger.gate.pause(by="bob", why="upgrade")
    action_id = await begin(book, "requeue", "sg_0", "sg_1", canary=1)
    told: list[str] = []
    carrier = Carrier(ANN, NOBODY, waits=told.append)
    running = asyncio.create_task(carry_on(book.ledger, action_id, "requeue", carrier, 2))
    await until_soon(lambda: told == ["gate"])
    await book.ledger.gate.resume(by="bob", why="done")
    await until_soon(lambda: told == ["gate", "canary"])
    carrier.leave.set()
    await running


class Slow:
    """Answers when the lease of the action has been made longer meanwhile."""

    strict = False

    def __init__(self, book: Book) -> None:
        self._book = book

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """Wait for the longer lease, and say that all are closed."""
        before = await self._lease(action_id)
        while await self._lease(action_id) == before:
            self._book.clock.forward(0.001)
            await asyncio.sleep(0)
        return Answered(dict.fromkeys(references, "closed"))

    async def _lease(self, action_id: str) -> float | None:
        return await self._book.redis.zscore(key_of("actions:open"), action_id)


async def test_the_lease_is_kept_while_the_api_is_asked(any_store: Redis) -> None:
    """An API that is slow costs nobody the action."""
    book = Book(any_store)
    await fail(book, "sg_0")
    action_id = await begin(book, "verify", "sg_0", holder="w1")
    await carry_on(book.ledger, action_id, "verify", Carrier("w1", Slow(book)), 1)
    assert (await read(book, action_id)).changed == 1


class Refused:
    """The API refuses the key."""

    strict = False

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """It ends the asking for good."""
        error = CouldNot(f"the API refuses the key for {len(references)} of {action_id}")
        return Answered(stop=str(error), error=error)


async def test_what_ends_the_asking_stops_the_action(any_store: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """The worker goes on, and the action says why it stopped, so that an operator can resume it."""
    book = Book(any_store)
    await fail(book, "sg_0")
    action_id = await begin(book, "verify", "sg_0", holder="")
    async with runner(book, asks=Refused()):
        assert "refuses the key" in (await until_done(book, action_id)).stopped_because
        await until_soon(lambda: "refuses the key" in caplog.text)


class Closed:
    """The API says of every group that it is closed."""

    strict = False

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """All are closed."""
        assert action_id
        return Answered(dict.fromkeys(references, "closed"))


async def test_the_runner_asks_and_goes_on(any_store: Redis) -> None:
    """An action that asks is carried to its end; one whose key is another program's is left for now."""
    book = Book(any_store)
    await fail(book, "sg_0", "sg_1")
    action_id = await begin(book, "verify", "sg_0", "sg_1", holder="")
    async with runner(book, asks=Closed()):
        assert (await until_done(book, action_id)).changed == 2


async def test_a_worker_that_ends_asks_no_more(any_store: Redis) -> None:
    """The action is left to another worker; and a store that fails while it is asked for ends nothing else."""
    book = Book(any_store)
    await fail(book, "sg_0")
    action_id = await begin(book, "verify", "sg_0", holder="")
    asks = Never()
    made = BulkRunner(book.ledger, "w1", asks)
    running = asyncio.create_task(made.step())
    await asks.asked.wait()
    [task] = made._asking.values()
    await made._look()
    running.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert ((await read(book, action_id)).is_open, made._asking) == (True, {})


class Never:
    """The API does not answer."""

    strict = False

    def __init__(self) -> None:
        self.asked = asyncio.Event()

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """It is never answered."""
        self.asked.set()
        await asyncio.Event().wait()
        raise AssertionError((action_id, references))


class Away(Never):
    """The store is away when it is asked."""

    async def ask(self, action_id: str, references: Sequence[str]) -> Answered:
        """It fails."""
        self.asked.set()
        raise StoreUnavailable(f"{action_id} {references}")


async def test_a_store_that_fails_while_the_api_is_asked(any_store: Redis) -> None:
    """The worker goes on, and takes the action again when its lease has ended."""
    book = Book(any_store)
    await fail(book, "sg_0")
    action_id = await begin(book, "verify", "sg_0", holder="")
    asks = Away()
    async with runner(book, asks=asks):
        await asks.asked.wait()
    assert (await read(book, action_id)).is_open
