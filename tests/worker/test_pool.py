"""The pool: a real ledger, real HTTP, limits kept, and nothing in hand lost when the process stops."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tasks.closure import Outcome, State
from tasks.errors import NotTaken, StoreUnavailable
from tasks.events.event import GroupComplete
from tasks.ledger.values import Claim
from tests.support import key_of, until_soon
from tests.tasks.standin import StandIn
from tests.worker.works import GROUPS, LEASE_S, Works


async def test_a_batch(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """Every reference of a batch is closed once, also those that no event had named, and repeats cost no call."""
    let.set()
    work = works()
    await work.batches.claim([*GROUPS[:5], GROUPS[0]], "task-1")
    await until_soon(lambda: work.settler.settled == 5)
    await work.settler.empty()
    assert await work.states() == {State.CLOSED: set(GROUPS[:5])}
    await work.batches.claim(GROUPS[:5], "task-2")
    assert len(standin.requests) == 5
    assert work.written >= 1
    [closure] = await work.ledger.read(GROUPS[:1])
    assert closure is not None
    assert (closure.source, closure.event_id, closure.outcome) == ("celery", "task-1", Outcome.CLOSED)


async def test_limits(works: Callable[..., Works], let: asyncio.Event) -> None:
    """No more calls are in flight than allowed, a few more are claimed, and the next batch waits for room."""
    work = works(concurrency=2)
    await work.batches.claim(GROUPS[:6], "t")
    await until_soon(lambda: work.pool.in_flight == 2)
    assert work.pool.waiting == 4
    assert work.pool.busy
    more = asyncio.create_task(work.batches.claim(GROUPS[6:], "t"))
    await asyncio.sleep(0)
    assert not more.done()
    let.set()
    await more
    await until_soon(lambda: work.settler.settled == len(GROUPS))
    assert (work.pool.in_flight, work.pool.waiting) == (0, 0)


async def test_drain(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """Stopping ends what is in flight, hands back at once what was not begun, and takes nothing more."""
    work = works(concurrency=2)
    await work.batches.claim(GROUPS[:6], "t")
    waiting = asyncio.create_task(work.batches.claim(GROUPS[6:], "t"))
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
            await work.batches.claim(["sg_9"], "t")
        await work.settler.empty()
    states = await work.states()
    assert states == {State.CLOSED: set(GROUPS[:2]), State.QUEUED: set(GROUPS[2:6])}
    assert len(standin.requests) == 2
    assert len((await work.ledger.due(limit=9, grace_s=9, most=99)).references) == 4


async def test_rate_limit(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """Under a rate limit a claimed closure waits for its turn; a stop hands it back instead of waiting."""
    let.set()
    work = works(concurrency=5, rate_limit=0.1)
    await work.batches.claim(GROUPS[:3], "t")
    await until_soon(lambda: work.settler.settled == 1)
    assert work.pool.waiting == 2
    async with asyncio.timeout(5):
        await work.pool.drain()
        await work.settler.empty()
    assert {state: len(refs) for state, refs in (await work.states()).items()} == {State.CLOSED: 1, State.QUEUED: 2}
    assert len(standin.requests) == 1


async def test_a_slot_is_a_moment(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """A closure whose slot under the rate limit has passed while it waited for a runner is called at once."""
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
    await work.batches.claim(GROUPS[:5], "t")
    await until_soon(lambda: work.settler.settled == 5)
    assert len(standin.requests) == 1
    work.settler.permission.key = "another"
    await work.ledger.heartbeats.write("w1", {"key": "another"})
    await work.batches.claim(GROUPS[5:6], "t")
    await until_soon(lambda: work.settler.settled == 6)
    assert len(standin.requests) == 2
    assert (await work.states())[State.CLOSED] == {GROUPS[5]}


async def test_no_attempt_outlives_its_lease(works: Callable[..., Works], let: asyncio.Event, standin: StandIn) -> None:
    """A closure that had to wait so long for a slot that its lease could end before the call is handed back."""
    work = works(concurrency=1, lease_s=LEASE_S, budget_s=LEASE_S)
    await work.batches.claim(GROUPS[:2], "t")
    let.set()
    await until_soon(lambda: work.settler.settled == 2)
    assert standin.requests == []
    assert await work.states() == {State.QUEUED: set(GROUPS[:2])}


async def test_a_reference_that_cannot_be_claimed(
    works: Callable[..., Works], let: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Such a reference is logged, and does not hold up the others of its batch."""
    let.set()
    work = works()
    await work.pool._claim(["sg_1", "\ud800", "sg_2"])
    assert "cannot be claimed, and is not attempted" in caplog.text
    await work.batches.claim(["sg_1", "sg_2"], "t")
    await until_soon(lambda: work.settler.settled == 2)


async def test_the_store_is_away(works: Callable[..., Works], let: asyncio.Event, store: Any) -> None:
    """A batch that cannot be claimed is not taken; results wait for the ledger, and are written when it is whole."""
    work = works()
    store.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await work.batches.claim(["sg_1"], "t")
    finally:
        store.config_set("maxmemory", 0)
    await work.ledger.receive([GroupComplete("sg_1", "wms", "1")])
    await work.batches.claim(["sg_1"], "t")
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


async def test_an_attempt_that_dies(
    works: Callable[..., Works], let: asyncio.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """An attempt that ends without a result is said loudly and frees its slot; its lease brings the group back."""
    work = works(concurrency=1)
    work.settler.put = None  # type: ignore[method-assign, assignment] # as if the settler were broken
    let.set()
    await work.batches.claim(["sg_1"], "t")
    await until_soon(lambda: "an attempt died without a result" in caplog.text)
    assert (work.pool.in_flight, work.pool.waiting) == (0, 0)


async def test_the_pool_receives_nothing(works: Callable[..., Works], store: Any) -> None:
    """A reference that the ledger does not know is given back to the caller; the pool itself writes nothing for it."""
    work = works()
    assert await work.pool.claim(["sg_1", "sg_2"]) == ["sg_1", "sg_2"]
    assert (store.keys(key_of("c:*")), work.pool.waiting) == ([], 0)
