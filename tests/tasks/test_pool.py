"""The pool and the settler: a real ledger, real HTTP, limits kept, and nothing in hand lost when the process stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.api.client import SortedApi
from tasks.api.reply import Reply
from tasks.api_health import ApiHealth
from tasks.attempt import Attempter
from tasks.attempted import Attempted, Written
from tasks.closure import Outcome, State
from tasks.errors import NotTaken, StoreUnavailable
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt, unpack_attempt
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Claim, Received, Settlement
from tasks.retry import Again, Done, Policy
from tasks.verdict import Retry
from tests.support import key_of, until_soon
from tests.tasks.standin import StandIn
from worker.attempts.permission import Permission
from worker.attempts.pool import AttemptPool
from worker.attempts.settler import Settler
from worker.intake.task_message import TaskMessages

LEASE_S, BUDGET_S = 20.0, 5.0
GROUPS = [f"sg_{number}" for number in range(12)]


class Works:
    """A pool over a real store and a stand-in whose replies a test may hold up."""

    def __init__(self, redis: Redis, api: SortedApi, **options: Any) -> None:
        self.redis = redis
        self.ledger = Ledger(redis)
        self.written = 0
        self.attempted: list[Attempted] = []
        self.settler = Settler(self.ledger, Permission(), self._after, [self._observe])
        attempter = Attempter(api, Policy(), worker="w1", budget_s=BUDGET_S)
        chosen = {"concurrency": 2, "lease_s": LEASE_S, "budget_s": BUDGET_S} | options
        self.pool = AttemptPool(self.ledger, attempter, self.settler, worker="w1", **chosen)
        self.messages = TaskMessages(self.ledger, self.pool, asyncio.Event())
        self.running = asyncio.create_task(self.settler.run())

    def _after(self) -> None:
        self.written += 1

    def _observe(self, attempted: Attempted) -> None:
        self.attempted.append(attempted)

    async def states(self) -> dict[State, set[str]]:
        """Every group by its state."""
        found: dict[State, set[str]] = {}
        for state in State:
            listed: Any = await self.redis.zrange(key_of(state), 0, -1)
            if listed:
                found[state] = {ref.decode() for ref in listed}
        return found


@pytest.fixture
async def works(real: Redis, api: SortedApi) -> AsyncIterator[Callable[..., Works]]:
    """Makes works; stops their settlers afterwards."""
    made: list[Works] = []

    def make(**options: Any) -> Works:
        made.append(Works(real, api, **options))
        return made[-1]

    yield make
    for work in made:
        work.running.cancel()


@pytest.fixture
def let(standin: StandIn) -> asyncio.Event:
    """The stand-in closes every group, once this is set."""
    standin.let = asyncio.Event()
    return standin.let


async def test_a_batch(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """Every reference of a batch is closed once, also those that no event had named, and repeats cost no call."""
    let.set()
    work = works()
    await work.messages.take_in([*GROUPS[:5], GROUPS[0]], "task-1")
    await until_soon(lambda: work.settler.settled == 5)
    await work.settler.empty()
    assert await work.states() == {State.CLOSED: set(GROUPS[:5])}
    await work.messages.take_in(GROUPS[:5], "task-2")
    assert len(standin.requests) == 5
    assert work.written >= 1
    [closure] = await work.ledger.read(GROUPS[:1])
    assert closure is not None
    assert (closure.source, closure.event_id, closure.outcome) == ("celery", "task-1", Outcome.CLOSED)


async def test_limits(works: Callable[..., Works], let: asyncio.Event) -> None:
    """No more calls are in flight than allowed, a few more are claimed, and the next batch waits for room."""
    work = works(concurrency=2)
    await work.messages.take_in(GROUPS[:6], "t")
    await until_soon(lambda: work.pool.in_flight == 2)
    assert work.pool.waiting == 4
    assert work.pool.busy
    more = asyncio.create_task(work.messages.take_in(GROUPS[6:], "t"))
    await asyncio.sleep(0)
    assert not more.done()
    let.set()
    await more
    await until_soon(lambda: work.settler.settled == len(GROUPS))
    assert (work.pool.in_flight, work.pool.waiting) == (0, 0)


async def test_drain(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """Stopping ends what is in flight, hands back at once what was not begun, and takes nothing more."""
    work = works(concurrency=2)
    await work.messages.take_in(GROUPS[:6], "t")
    waiting = asyncio.create_task(work.messages.take_in(GROUPS[6:], "t"))
    await until_soon(lambda: len(standin.requests) == 2)
    draining = asyncio.create_task(work.pool.drain())
    await until_soon(lambda: work.pool.waiting == 0)
    assert not draining.done()
    let.set()
    async with asyncio.timeout(10):
        await draining
        with pytest.raises(NotTaken):
            await waiting
        with pytest.raises(NotTaken):
            await work.messages.take_in(["sg_9"], "t")
        await work.settler.empty()
    states = await work.states()
    assert states == {State.CLOSED: set(GROUPS[:2]), State.QUEUED: set(GROUPS[2:6])}
    assert len(standin.requests) == 2
    assert len((await work.ledger.due(limit=9, grace_s=9, most=99)).references) == 4


async def test_rate_limit(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """Under a rate limit a claimed closure waits for its turn; a stop hands it back instead of waiting."""
    let.set()
    work = works(concurrency=5, rate_limit=0.1)
    await work.messages.take_in(GROUPS[:3], "t")
    await until_soon(lambda: work.settler.settled == 1)
    assert work.pool.waiting == 2
    async with asyncio.timeout(5):
        await work.pool.drain()
        await work.settler.empty()
    assert {state: len(refs) for state, refs in (await work.states()).items()} == {State.CLOSED: 1, State.QUEUED: 2}
    assert len(standin.requests) == 1


async def test_a_slot_is_a_moment(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """A closure that waited for a runner until its slot under the rate limit has come does not wait once more."""
    let.set()
    work = works()
    await work.ledger.receive([GroupComplete(GROUPS[0], "wms", "1")])
    claim = (await work.ledger.claim(GROUPS[:1], worker="w1", lease_s=LEASE_S))[GROUPS[0]]
    assert isinstance(claim, Claim)
    async with asyncio.timeout(20):
        await work.pool._work_on(replace(claim, wait_s=1000.0), time.monotonic() - 1000.0)
    assert len(standin.requests) == 1


async def test_a_shut_gate(works: Callable[..., Works], standin: StandIn) -> None:
    """When a reply shuts the gate, what was claimed before and is not yet called goes back; what comes later is not."""
    standin.let = None
    standin.script.extend([(401, {}), (200, {"reference": GROUPS[5]})])
    work = works(concurrency=1)
    await work.messages.take_in(GROUPS[:5], "t")
    await until_soon(lambda: work.settler.settled == 5)
    assert len(standin.requests) == 1
    work.settler.permission.key = "another"
    await work.ledger.heartbeats.write("w1", {"key": "another"})
    await work.messages.take_in(GROUPS[5:6], "t")
    await until_soon(lambda: work.settler.settled == 6)
    assert len(standin.requests) == 2
    assert (await work.states())[State.CLOSED] == {GROUPS[5]}


async def test_no_attempt_outlives_its_lease(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """A closure that had to wait so long for a slot that its lease could end before the call is handed back."""
    work = works(concurrency=1, lease_s=LEASE_S, budget_s=LEASE_S)
    await work.messages.take_in(GROUPS[:2], "t")
    let.set()
    await until_soon(lambda: work.settler.settled == 2)
    assert standin.requests == []
    assert await work.states() == {State.QUEUED: set(GROUPS[:2])}


@pytest.mark.parametrize(
    ("references", "problems"),
    [
        ("sg_1", 0),
        (["sg_1", "a/b", 7, None, ["sg_2"], {}], 5),
        ({"args": ["sg_1"]}, 1),
        (None, 1),
        ([], 0),
        (["\ud800", float("nan"), "x" * 129], 3),
    ],
)
async def test_poison(works: Callable[..., Works], let: asyncio.Event, references: Any, problems: int) -> None:
    """What is no reference is put aside with its value and why, and the rest of the batch is closed."""
    let.set()
    work = works()
    await work.messages.take_in(references, "task-1")
    good = 1 if references and "sg_1" in references else 0
    await until_soon(lambda: work.settler.settled == good)
    rejected: Any = await work.redis.xrange(key_of("rejected"))
    assert len(rejected) == problems
    assert all(fields[b"problems"].startswith(b'["references') for _, fields in rejected)
    assert all(fields[b"origin"] == b"task task-1" for _, fields in rejected)


async def test_a_reference_that_cannot_be_claimed(
    works: Callable[..., Works], let: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """It is told, and holds up no other of its batch."""
    let.set()
    work = works()
    await work.pool._claim(["sg_1", "\ud800", "sg_2"])
    assert "cannot be claimed, and is not attempted" in caplog.text
    await work.messages.take_in(["sg_1", "sg_2"], "t")
    await until_soon(lambda: work.settler.settled == 2)


async def test_a_poisonous_origin(works: Callable[..., Works], let: asyncio.Event) -> None:
    """A foreign task's id may be any text: half characters and separators in it stop nothing."""
    let.set()
    work = works()
    await work.messages.take_in(["sg_1", "a/b"], "id \ud800 | \x00\n")
    await until_soon(lambda: work.settler.settled == 1)
    assert await work.states() == {State.CLOSED: {"sg_1"}}
    assert await work.redis.xlen(key_of("rejected")) == 1


async def test_the_store_is_away(works: Callable[..., Works], let: asyncio.Event, store: Any) -> None:
    """A batch that cannot be claimed is not taken; results wait for the ledger, and are written when it is whole."""
    work = works()
    store.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await work.messages.take_in(["sg_1"], "t")
    finally:
        store.config_set("maxmemory", 0)
    await work.ledger.receive([GroupComplete("sg_1", "wms", "1")])
    await work.messages.take_in(["sg_1"], "t")
    await until_soon(lambda: work.pool.in_flight == 1)
    store.rpush(key_of("closed"), "not ours")
    let.set()
    await until_soon(lambda: work.settler.outages.text != "")
    assert "shared with another program" in work.settler.outages.text
    store.delete(key_of("closed"))
    async with asyncio.timeout(10):
        await work.settler.empty()
    assert await work.states() == {State.CLOSED: {"sg_1"}}
    assert work.settler.outages.text == ""


async def test_a_long_retry_after_is_told_loudly(real: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """Three hours without calls are told once, with what an operator can do, however many replies ask for them."""
    settler = Settler(Ledger(real), Permission())
    for number in range(5):
        settler.put(Settlement(f"sg_{number}", 1, State.QUEUED, health=ApiHealth.BAD, hold_s=10_800.0))
        await settler._write()
    [record] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "3.0 h" in record.getMessage()
    assert "closer resume --override-retry-after" in record.getMessage()


async def test_settling_in_batches(real: Redis) -> None:
    """Hundreds of results are written in few calls, each once, and the last one is not forgotten."""
    ledger = Ledger(real)
    calls: list[int] = []
    settler = Settler(ledger, Permission(), lambda: calls.append(settler.settled))
    groups = [f"sg_{number}" for number in range(450)]
    await ledger.receive([GroupComplete(reference, "wms", "1") for reference in groups])
    for claim in (await ledger.claim(groups, worker="w1", lease_s=LEASE_S)).values():
        assert isinstance(claim, Claim)
        settler.put(Settlement(claim.reference, claim.lease, State.QUEUED))
    running = asyncio.create_task(settler.run())
    async with asyncio.timeout(10):
        await settler.empty()
    running.cancel()
    assert calls == [200, 400, 450]


async def test_an_attempt_that_dies(
    works: Callable[..., Works], let: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """An attempt that ends without a result is said loudly and frees its slot; its lease brings the group back."""
    work = works(concurrency=1)
    work.settler.put = None  # type: ignore[method-assign, assignment] # as if the settler were broken
    let.set()
    await work.messages.take_in(["sg_1"], "t")
    await until_soon(lambda: "an attempt died without a result" in caplog.text)
    assert (work.pool.in_flight, work.pool.waiting) == (0, 0)


async def test_an_attempt_is_told_after_it_is_written(works: Callable[..., Works], let: asyncio.Event) -> None:
    """Observers are told once, when the ledger has the result: claim, replies, decision, and what was written."""
    let.set()
    work = works()
    await work.messages.take_in(["sg_1"], "t")
    await until_soon(lambda: bool(work.attempted))
    [attempted] = work.attempted
    [closure] = await work.ledger.read(["sg_1"])
    assert closure is not None
    assert (closure.state, attempted.written) == (State.CLOSED, Written.SETTLED)
    assert [attempted.claim.reference, attempted.settlement.to] == ["sg_1", State.CLOSED]
    assert attempted.decision == Done(Outcome.CLOSED)
    assert unpack_attempt(pack_attempt(attempted.attempt)) == closure.last_attempt
    assert [reply.status for reply in attempted.replies if isinstance(reply, Reply)] == [200]


async def test_nothing_is_told_before_it_is_written(
    works: Callable[..., Works], let: asyncio.Event, store: Any
) -> None:
    """While the ledger cannot take a result nobody is told of it; afterwards everybody is, once."""
    work = works()
    await work.messages.take_in(["sg_1"], "t")
    await until_soon(lambda: work.pool.in_flight == 1)
    store.set(key_of("closed"), "not ours")
    let.set()
    await until_soon(lambda: work.settler.outages.text != "")
    assert (work.attempted, work.settler.settled) == ([], 0)
    store.delete(key_of("closed"))
    await until_soon(lambda: work.settler.settled == 1)
    assert [one.written for one in work.attempted] == [Written.SETTLED]


async def claimed(work: Works, reference: str, **settlement: Any) -> Attempted:
    """An attempt on this group that is claimed, as it is handed over."""
    await work.ledger.receive([GroupComplete(reference, "wms", "1")])
    claim = (await work.ledger.claim([reference], worker="w1", lease_s=LEASE_S))[reference]
    assert isinstance(claim, Claim)
    attempt = Attempt(claim.at_ms, "w1")
    to_write = Settlement(reference, claim.lease, State.RETRYING, pack_attempt(attempt), **settlement)
    return Attempted(claim, (), Retry("x"), Again(1.0, "x"), 0.1, attempt, to_write)


async def test_a_lost_lease_is_told(works: Callable[..., Works]) -> None:
    """A result that comes after its lease has ended is told and counted as a lost lease, and not as settled."""
    work = works()
    attempted = await claimed(work, "sg_1")
    await work.redis.zadd(key_of("agenda"), {"sg_1": 1})
    assert (await work.ledger.due(limit=9, grace_s=9, most=99)).references == ["sg_1"]
    work.settler.put(attempted.settlement, attempted)
    await until_soon(lambda: bool(work.attempted))
    assert [one.written for one in work.attempted] == [Written.LEASE_LOST]
    assert (work.settler.settled, work.settler.lost_leases) == (0, 1)
    [closure] = await work.ledger.read(["sg_1"])
    assert closure is not None
    assert [attempt.verdict for attempt in closure.history] == ["lost"]


async def test_a_poisoned_result_is_told(works: Callable[..., Works]) -> None:
    """An attempt whose result no script can write is told as dropped: it is neither settled nor a lost lease."""
    work = works()
    attempted = await claimed(work, "sg_1", delay_s=float("inf"))
    work.settler.put(attempted.settlement, attempted)
    await until_soon(lambda: bool(work.attempted))
    assert [one.written for one in work.attempted] == [Written.DROPPED]
    assert (work.settler.settled, work.settler.lost_leases) == (0, 0)


async def test_a_lost_answer_is_no_lost_lease(works: Callable[..., Works]) -> None:
    """A result that was written, but whose answer did not come, is sent again: it counts once, for the gate, too."""
    work = works()
    settlement = (await claimed(work, "sg_1", health=ApiHealth.BAD)).settlement
    assert (await work.ledger.settle([settlement])).written == [True]
    share = await work.redis.hget(key_of("gate"), "bad")
    await work.redis.hdel(key_of("gate"), "ill")
    assert (await work.ledger.settle([settlement], again=True)).written == [True]
    assert await work.redis.hget(key_of("gate"), "bad") == share
    assert (await work.ledger.settle([settlement])).written == [False]


async def test_an_observer_that_fails(
    works: Callable[..., Works], let: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and keeps neither the other observers nor the settler from their work."""

    def fails(attempted: Attempted) -> None:
        raise RuntimeError("no disk")

    let.set()
    work = works()
    work.settler._observers = [fails, work._observe]
    await work.messages.take_in(["sg_1", "sg_2"], "t")
    await until_soon(lambda: len(work.attempted) == 2)
    assert "an observer failed for the attempt on sg_1" in caplog.text


async def test_the_pool_receives_nothing(works: Callable[..., Works], store: Any) -> None:
    """A reference that the ledger does not know is given back to the caller; the pool itself writes nothing for it."""
    work = works()
    assert await work.pool.claim(["sg_1", "sg_2"]) == ["sg_1", "sg_2"]
    assert (store.keys(key_of("c:*")), work.pool.waiting) == ([], 0)


class PoisonedLedger(Ledger):
    """A ledger whose script really fails for one group that it does not know."""

    async def receive(self, events: Sequence[GroupComplete]) -> list[Received]:
        """Receive."""
        return await super().receive(
            [replace(event, event_id="\ud800") if event.reference == "poison" else event for event in events]
        )


async def test_a_group_that_cannot_be_received(works: Callable[..., Works], let: asyncio.Event, store: Any) -> None:
    """It is kept as rejected with its reference, and the others of its task message are received and closed."""
    let.set()
    work = works()
    messages = TaskMessages(PoisonedLedger(work.redis), work.pool, asyncio.Event())
    await messages.take_in(["sg_1", "poison", "sg_2"], "task-1")
    await until_soon(lambda: work.settler.settled == 2)
    assert await work.states() == {State.CLOSED: {"sg_1", "sg_2"}}
    [(_, fields)] = store.xrange(key_of("rejected"))
    assert fields[b"event"] == b'{"reference": "poison"}'
    assert b"it cannot be received" in fields[b"problems"]
