"""The store's clock is set, and the first to look has never looked before: a new worker, or an operator's command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tasks.closure import State
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Settlement
from tests.fake_store import FakeStore
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, LEASE_S, Book
from tests.tasks.test_clock import HOUR_S, JUMPS

Step = Callable[[Ledger], Awaitable[object]]
STEPS: dict[str, Step] = {
    "due": lambda ledger: ledger.due(limit=10, grace_s=10, most=10),
    "claim": lambda ledger: ledger.claim(["sg_retry", "sg_leased"], worker="new", lease_s=LEASE_S),
    "settle": lambda ledger: ledger.settle([Settlement("sg_none", 1, State.QUEUED)]),
    "requeue": lambda ledger: ledger.requeue(["sg_none"]),
    "hand back": lambda ledger: ledger.undispatch(["sg_retry"]),
    "gate": lambda ledger: ledger.gate.start_slowly(),
    "beat": lambda ledger: ledger.heartbeats.write("new", {}),
    "prune": lambda ledger: ledger.prune(keep_s=86_400),
}


class Fleet:
    """A ledger, time as it passes, a worker that looks at the store's clock, and any number of newcomers."""

    def __init__(self, redis: Redis) -> None:
        self.passed_s = 0.0
        self.book = Book(redis, stopwatch=lambda: self.passed_s)
        self.lives = True
        self.waited_s = 0.0

    def newcomer(self) -> Ledger:
        """A process that has never looked."""
        return Ledger(
            self.book.redis, deadline_s=DEADLINE_S, clock=self.book.clock, stopwatch=lambda: self.passed_s,
            sleep=self._sleep,
        )  # fmt: skip

    async def wait(self, seconds: float) -> None:
        """Let time pass, and the worker look while it lives."""
        self.passed_s += seconds
        self.book.clock.forward(seconds)
        if self.lives:
            await self.book.ledger.heartbeats.write("w1", {})

    async def _sleep(self, seconds: float) -> None:
        self.waited_s += seconds
        await self.wait(seconds)

    async def plan(self) -> None:
        """A retry in 100 s, and a lease that runs."""
        await self.wait(0)
        await self.book.receive("sg_retry", "sg_leased")
        await self.book.settle(await self.book.claim("sg_retry"), State.RETRYING, delay_s=100.0)
        await self.book.claim("sg_leased")


@pytest.fixture
def fleet(any_store: Redis) -> Fleet:
    """An empty ledger, and a worker."""
    return Fleet(any_store)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("jump_s", JUMPS)
async def test_it_looks_first(fleet: Fleet, jump_s: float, step: str) -> None:
    """Whatever it comes to do, no lease is lost and no retry is early or late, though the worker has not looked yet."""
    await fleet.plan()
    fleet.book.clock.forward(jump_s)
    newcomer = fleet.newcomer()
    await STEPS[step](newcomer)
    for ledger in (newcomer, fleet.book.ledger, fleet.newcomer(), newcomer):
        assert (await ledger.due(limit=10, grace_s=10, most=10)).references == []
    await fleet.wait(LEASE_S - 1)
    assert await fleet.book.due() == []
    await fleet.wait(1.1)
    assert await fleet.book.due() == ["sg_leased"]
    await fleet.book.claim("sg_leased")
    await fleet.wait(99.5 - fleet.passed_s)
    assert await fleet.book.due() == []
    await fleet.wait(0.6)
    assert await fleet.book.due() == ["sg_retry"]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_what_it_plans_itself(fleet: Fleet, jump_s: float) -> None:
    """A group that an operator queues again just then is due at once, and is tried for as long as any other."""
    await fleet.wait(0)
    await fleet.book.receive("sg_1")
    await fleet.book.failed("sg_1")
    fleet.book.clock.forward(jump_s)
    assert await fleet.newcomer().requeue(["sg_1"]) == ["done"]
    assert await fleet.book.due() == ["sg_1"]
    assert (await fleet.book.claim("sg_1")).remaining_s == pytest.approx(DEADLINE_S, abs=1)


async def test_it_does_not_wait_where_all_is_well(fleet: Fleet) -> None:
    """While a worker looks, or where none is known, a newcomer goes on at once."""
    await fleet.newcomer().heartbeats.write()
    await fleet.plan()
    await fleet.newcomer().gate.start_slowly()
    await fleet.book.ledger.heartbeats.write("w1", None)
    fleet.lives = False
    await fleet.wait(8 * HOUR_S)
    assert (await fleet.newcomer().due(limit=10, grace_s=10, most=10)).references
    assert fleet.waited_s == 0


async def test_after_all_workers_have_died(fleet: Fleet) -> None:
    """The first to come waits a few seconds for one that knows the clock, the second does not; the night has passed."""
    await fleet.plan()
    fleet.lives = False
    await fleet.wait(8 * HOUR_S)
    due = await fleet.newcomer().due(limit=10, grace_s=10, most=10)
    assert sorted(due.references) == ["sg_leased", "sg_retry"]
    assert 3 < fleet.waited_s < 5
    waited_s = fleet.waited_s
    await fleet.newcomer().gate.start_slowly()
    assert fleet.waited_s == waited_s


@pytest.mark.parametrize("jump_s", [-HOUR_S, -10.0])
async def test_a_clock_that_goes_back_without_workers(fleet: Fleet, jump_s: float) -> None:
    """No clock goes back by itself: that is seen though nobody who knew it lives any more."""
    await fleet.plan()
    fleet.lives = False
    fleet.book.clock.forward(jump_s)
    newcomer = fleet.newcomer()
    assert (await newcomer.due(limit=10, grace_s=10, most=10)).references == []
    await fleet.wait(100.1)
    due = await newcomer.due(limit=10, grace_s=10, most=10)
    assert sorted(due.references) == ["sg_leased", "sg_retry"]


async def test_a_worker_that_comes_back_late(fleet: Fleet) -> None:
    """One that was away while others took over tells of the jump it knows; nobody moves the plans back and forth."""
    await fleet.plan()
    fleet.lives = False
    fleet.book.clock.forward(HOUR_S)
    newcomers = [fleet.newcomer(), fleet.newcomer()]
    for newcomer in newcomers:
        await newcomer.gate.start_slowly()
    agenda = []
    for ledger in (fleet.book.ledger, *newcomers, fleet.book.ledger, *newcomers):
        await fleet.wait(1)
        await ledger.heartbeats.write()
        agenda.append(await fleet.book.redis.zscore(key_of("agenda"), "sg_retry"))
    assert len(set(agenda)) == 1
    assert await fleet.book.agenda("sg_retry") == pytest.approx(100 - fleet.passed_s, abs=0.1)


async def test_one_that_sees_half_of_it(fleet: Fleet) -> None:
    """The clock is set twice while a newcomer waits between the two: the worker's word counts, whoever looks next."""
    await fleet.plan()
    newcomer = fleet.newcomer()
    await newcomer.heartbeats.write()
    for jump_s in (HOUR_S, -2 * HOUR_S):
        fleet.book.clock.forward(jump_s)
        await fleet.wait(1)
    await newcomer.heartbeats.write()
    await fleet.newcomer().heartbeats.write()
    assert await fleet.book.agenda("sg_retry") == pytest.approx(98, abs=0.1)


@pytest.mark.parametrize("how", ["delete", "clock", "moved", "words", "huge"])
async def test_a_spoilt_memory(fleet: Fleet, how: str) -> None:
    """When the gate's fields about the clock are lost or spoilt, no plan moves: each worker has its own memory."""
    await fleet.plan()
    fleet.book.clock.forward(HOUR_S)
    await fleet.wait(1)
    redis: Any = fleet.book.redis
    if how == "delete":
        await redis.delete(key_of("gate"))
    elif how in ("clock", "moved"):
        await redis.hdel(key_of("gate"), how)
    else:
        spoilt = "soon" if how == "words" else "1e300"
        await redis.hset(key_of("gate"), mapping={"clock": spoilt, "moved": spoilt})
    for ledger in (fleet.newcomer(), fleet.book.ledger, fleet.newcomer(), fleet.book.ledger):
        await fleet.wait(1)
        await ledger.heartbeats.write()
    assert await fleet.book.agenda("sg_retry") == pytest.approx(100 - fleet.passed_s, abs=0.1)


far = st.floats(10, 1e6) | st.floats(-1e6, -10)
steps = st.tuples(st.none() | far, st.sampled_from(list(STEPS)), st.booleans(), st.floats(0.0, 3.0))


@given(st.lists(steps, max_size=15))
async def test_any_newcomers(course: list[tuple[float | None, str, bool, float]]) -> None:
    """However often the clock is set and whoever looks next, what is planned stays as far off as it was."""
    fleet = Fleet(FakeStore())
    await fleet.plan()
    known = fleet.newcomer()
    for jump_s, step, fresh, wait_s in course:
        fleet.book.clock.forward(jump_s or 0.0)
        await STEPS[step](fleet.newcomer() if fresh else known)
        await fleet.wait(wait_s)
        assert await fleet.book.agenda("sg_retry") == pytest.approx(100 - fleet.passed_s, abs=0.1)
