"""The store's clock is set while work waits: nothing is early, nothing waits longer, and what has passed has passed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import State
from tasks.ledger.catalogue import Catalogue
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Unclaimed
from tests.fake_store import FakeStore
from tests.support import STREAM
from tests.tasks.book import DEADLINE_S, GRACE_S, LEASE_S, Book

HOUR_S = 3600.0
JUMPS = [HOUR_S, -HOUR_S, 10 * 86_400.0, -10 * 86_400.0, 10.0, -10.0]


class World:
    """A ledger, and time as it passes; the store's clock may be set."""

    def __init__(self, redis: Redis) -> None:
        self.passed_s = 0.0
        self.book = Book(redis, stopwatch=lambda: self.passed_s)

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self.passed_s += seconds
        self.book.clock.forward(seconds)

    async def jump(self, seconds: float) -> None:
        """Set the store's clock; workers look at it every second, so one does before and after."""
        await self.book.ledger.heartbeats.write()
        self.book.clock.forward(seconds)
        await self.book.ledger.heartbeats.write()

    async def retrying(self, reference: str, delay_s: float) -> None:
        """A closure whose next attempt is that far off."""
        await self.book.receive(reference)
        await self.book.settle(await self.book.claim(reference), State.RETRYING, delay_s=delay_s)


@pytest.fixture
def world(any_store: Redis) -> World:
    """An empty ledger."""
    return World(any_store)


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_retry_keeps_its_time(world: World, jump_s: float) -> None:
    """An attempt planned in 100 s is made in 100 s, whatever the clock is set to meanwhile."""
    await world.retrying("sg_1", 100.0)
    await world.jump(jump_s)
    assert await world.book.due() == []
    world.wait(99.0)
    assert await world.book.due() == []
    world.wait(1.1)
    assert await world.book.due() == ["sg_1"]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_lease_keeps_its_time(world: World, jump_s: float) -> None:
    """A closure in somebody's hands stays there until the lease's time has passed, and no longer."""
    await world.book.receive("sg_1")
    await world.book.claim("sg_1", worker="w1")
    await world.jump(jump_s)
    world.wait(LEASE_S - 1)
    assert await world.book.ledger.claim(["sg_1"], worker="w2", lease_s=LEASE_S) == {"sg_1": Unclaimed.NO}
    world.wait(1.1)
    assert (await world.book.claim("sg_1", worker="w2")).lease == 2


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_deadline_keeps_its_time(world: World, jump_s: float) -> None:
    """How long a closure is tried for changes by no jump, neither before nor after the gate was shut and opened."""
    await world.book.receive("sg_1", "sg_2")
    await world.jump(jump_s)
    world.wait(100)
    assert (await world.book.claim("sg_1")).remaining_s == pytest.approx(DEADLINE_S - 100, abs=0.1)
    await world.book.ledger.gate.pause(by="ann", why="x")
    await world.jump(jump_s)
    world.wait(50)
    await world.book.ledger.gate.resume()
    assert (await world.book.claim("sg_2")).remaining_s == pytest.approx(DEADLINE_S - 100, abs=0.1)


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_throttling_keeps_its_time(world: World, jump_s: float) -> None:
    """`Retry-After` holds the fleet for as long as it says."""
    await world.book.receive("sg_1", "sg_2")
    await world.book.settle(await world.book.claim("sg_1"), State.RETRYING, delay_s=10, hold_s=10.0, told=True)
    await world.jump(jump_s)
    world.wait(9.0)
    assert await world.book.due() == []
    assert (await world.book.ledger.gate.look()).reason == "throttled"
    world.wait(1.1)
    assert sorted(await world.book.due()) == ["sg_1", "sg_2"]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_what_is_due_stays_due(world: World, jump_s: float) -> None:
    """What had to be done before the jump has to be done after it."""
    await world.book.receive("sg_1")
    world.wait(1)
    await world.jump(jump_s)
    assert await world.book.due() == ["sg_1"]


async def test_time_without_workers_passes(world: World) -> None:
    """After a night without workers the first to come finds done with what was planned for the night."""
    await world.retrying("sg_1", 8 * HOUR_S)
    world.wait(8 * HOUR_S + 1)
    fresh = Ledger(world.book.redis, clock=world.book.clock, stopwatch=lambda: world.passed_s - 8 * HOUR_S)
    assert (await fresh.due(limit=10, grace_s=1, most=10)).references == ["sg_1"]


async def test_reading_is_no_look_at_the_clock(world: World) -> None:
    """A process that has only read has not seen the clock, so a night without workers is not taken for a jump."""
    await world.retrying("sg_1", 8 * HOUR_S)
    world.wait(8 * HOUR_S + 1)
    operator = Ledger(world.book.redis, clock=world.book.clock, stopwatch=lambda: world.passed_s)
    await operator.read(["sg_1"])
    await operator.requeue(["sg_1"])
    assert await world.book.due() == ["sg_1"]


async def test_a_slow_step_is_no_jump(world: World) -> None:
    """Any time may pass between two looks of one worker, if as much has passed for the worker itself."""
    await world.retrying("sg_1", 100.0)
    world.wait(HOUR_S)
    assert await world.book.due() == ["sg_1"]


async def test_two_workers(world: World) -> None:
    """One worker sees the jump, and another that looks a moment later does not take it for a second one."""
    other = Ledger(world.book.redis, clock=world.book.clock, stopwatch=lambda: world.passed_s)
    await other.gate.start_slowly()
    await world.retrying("sg_1", 100.0)
    await world.jump(HOUR_S)
    for ledger in (world.book.ledger, other, world.book.ledger):
        world.wait(1)
        assert (await ledger.due(limit=10, grace_s=1, most=10)).references == []
    world.wait(97.1)
    assert (await other.due(limit=10, grace_s=1, most=10)).references == ["sg_1"]


far = st.floats(10, 1e6) | st.floats(-1e6, -10)


@given(st.lists(st.tuples(st.none() | far, st.floats(0.0, 60.0)), max_size=12), st.floats(1.0, 300.0))
async def test_any_jumps(steps: list[tuple[float | None, float]], delay_s: float) -> None:
    """However often the clock is set, an attempt is made when its time has passed, and not before."""
    world = World(FakeStore())
    await world.retrying("sg_1", delay_s)
    waited_s = 0.0
    for jump_s, wait_s in steps:
        await world.jump(jump_s or 0.0)
        world.wait(wait_s)
        waited_s += wait_s
        if due := await world.book.due():
            assert due == ["sg_1"]
            assert waited_s >= delay_s - 0.1
            return
        assert waited_s < delay_s + 0.1


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_a_message_on_its_way_keeps_its_time(world: World, jump_s: float) -> None:
    """A task message counts as on its way until its time is over, and is then presumed lost."""
    await world.book.receive("sg_1")
    assert await world.book.due() == ["sg_1"]
    await world.jump(jump_s)
    world.wait(GRACE_S - 1)
    assert (await world.book.ledger.due(limit=10, grace_s=GRACE_S, most=10)).on_their_way == 1
    world.wait(1.1)
    assert await world.book.due() == ["sg_1"]


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_the_oldest_keeps_its_age(world: World, jump_s: float) -> None:
    """Operators are told for how long the oldest group has waited."""
    await world.book.receive("sg_1")
    world.wait(100)
    await world.jump(jump_s)
    summary = await Catalogue(world.book.redis, clock=world.book.clock).summary(STREAM)
    assert summary.oldest_open_ms is not None
    assert summary.now_ms - summary.oldest_open_ms == pytest.approx(100_000, abs=100)


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_calls_in_flight_are_still_counted(world: World, jump_s: float) -> None:
    """While the gate opens again, the calls of before the jump leave no room for others."""
    await world.book.ledger.gate.pause(by="ann", why="x")
    await world.book.ledger.gate.resume()
    await world.book.receive(*(f"sg_{number}" for number in range(5)))
    world.wait(1)
    for number in range(4):
        await world.book.claim(f"sg_{number}")
    await world.jump(jump_s)
    assert await world.book.due() == []
    assert await world.book.ledger.claim(["sg_4"], worker="w", lease_s=1) == {"sg_4": Unclaimed.LATER}


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_the_rate_limit_keeps_its_pace(world: World, jump_s: float) -> None:
    """The next call waits for its slot, and for no more than that."""
    await world.book.receive("sg_1", "sg_2", "sg_3")
    assert (await world.book.claim("sg_1", rate_limit=0.1)).wait_s == 0
    assert (await world.book.claim("sg_2", rate_limit=0.1)).wait_s == 10
    await world.jump(jump_s)
    assert (await world.book.claim("sg_3", rate_limit=0.1)).wait_s == pytest.approx(20, abs=0.1)


@pytest.mark.parametrize("jump_s", JUMPS)
async def test_the_probe_keeps_its_time(world: World, jump_s: float) -> None:
    """A refused key is tried again when its pause is over."""
    await world.book.receive("sg_1", "sg_2")
    claim = await world.book.claim("sg_1")
    await world.book.settle(claim, State.RETRYING, delay_s=1, health=ApiHealth.UNAUTHORISED)
    await world.jump(jump_s)
    world.wait(14)
    assert await world.book.due() == []
    world.wait(1.1)
    assert len(await world.book.due()) == 1
