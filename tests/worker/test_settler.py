"""The settler: each result is written once, then told, and none is lost while the store is away."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.api.reply import Reply
from tasks.api_health import ApiHealth
from tasks.attempted import Attempted, Written
from tasks.closure import Outcome, State
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt, unpack_attempt
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Claim, Settlement
from tasks.retry import Again, Done
from tasks.verdict import Retry
from tests.support import key_of, until_soon
from tests.worker.works import LEASE_S, Works
from worker.attempts.permission import Permission
from worker.attempts.settler import Settler


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


async def test_an_attempt_is_told_after_it_is_written(works: Callable[..., Works], let: asyncio.Event) -> None:
    """Observers are told once, when the ledger has the result: claim, replies, decision, and what was written."""
    let.set()
    work = works()
    await work.batches.claim(["sg_1"], "t")
    await until_soon(lambda: bool(work.attempted))
    [attempted] = work.attempted
    [closure] = await work.ledger.read(["sg_1"])
    assert closure is not None
    assert (closure.state, attempted.written) == (State.CLOSED, Written.SETTLED)
    assert [attempted.claim.reference, attempted.settlement.to] == ["sg_1", State.CLOSED]
    assert attempted.decision == Done(Outcome.CLOSED)
    assert unpack_attempt(pack_attempt(attempted.attempt)) == closure.last_attempt
    assert [call.reply.status for call in attempted.calls if isinstance(call.reply, Reply)] == [200]


async def test_nothing_is_told_before_it_is_written(
    works: Callable[..., Works], let: asyncio.Event, store: Any
) -> None:
    """While the ledger cannot take a result nobody is told of it; afterwards everybody is, once."""
    work = works()
    await work.batches.claim(["sg_1"], "t")
    await until_soon(lambda: work.pool.in_flight == 1)
    store.set(key_of("closed"), "not ours")
    let.set()
    await until_soon(lambda: work.settler.outages.text != "")
    assert (work.attempted, work.settler.settled) == ([], 0)
    store.delete(key_of("closed"))
    await until_soon(lambda: work.settler.settled == 1)
    assert [one.written for one in work.attempted] == [Written.SETTLED]


async def test_a_result_that_is_not_written_for_long_is_told(real: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """What the API said is in the log, once, while the store does not take it; what is written in time is not told."""
    caplog.set_level("INFO")
    ledger, told = Ledger(real), list[Attempted]()
    settler = Settler(ledger, Permission(), observers=[told.append], unwritten_s=0.05)
    tasks = [asyncio.create_task(settler.run()), asyncio.create_task(settler.watch())]
    attempts = [await claimed_of(ledger, f"sg_{number}") for number in range(3)]
    settler.put(attempts[0].settlement, attempts[0])
    await until_soon(lambda: bool(told))
    await real.rename(key_of("agenda"), "kept")
    await real.set(key_of("agenda"), "not ours")
    settler.put(Settlement("sg_given_back", 1, State.QUEUED))
    for attempted in attempts[1:]:
        settler.put(attempted.settlement, attempted)
        await until_soon(lambda one=attempted: one.claim.reference in _unwritten(caplog))  # type: ignore[misc]
    await real.rename("kept", key_of("agenda"))
    await until_soon(lambda: len(told) == 3)
    for task in tasks:
        task.cancel()
    assert _unwritten(caplog) == ["sg_1", "sg_2"]


def _unwritten(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The groups of the lines `closure.unwritten`, in order."""
    return [record.__dict__["fields"]["reference"] for record in caplog.records if record.msg == "closure.unwritten"]


async def claimed(work: Works, reference: str, **settlement: Any) -> Attempted:
    """The same in these works."""
    return await claimed_of(work.ledger, reference, **settlement)


async def claimed_of(ledger: Ledger, reference: str, **settlement: Any) -> Attempted:
    """An attempt on this group that is claimed, as it is handed over."""
    await ledger.receive([GroupComplete(reference, "wms", "1")])
    claim = (await ledger.claim([reference], worker="w1", lease_s=LEASE_S))[reference]
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
    await work.batches.claim(["sg_1", "sg_2"], "t")
    await until_soon(lambda: len(work.attempted) == 2)
    assert "an observer failed for the attempt on sg_1" in caplog.text
