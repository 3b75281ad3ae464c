"""A worker takes events in by the fleet's types: those of the worker that started last, within seconds."""

from __future__ import annotations

import logging

import pytest
from redis.asyncio import Redis

from tasks.closure import State
from tasks.events.event_type import EventTypes
from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from tests.operations.seed import Seed, plant
from tests.support import STREAM, cloud_event, key_of
from worker.intake.fleet_types import FleetTypes
from worker.intake.pump import Pump
from worker.intake.stream import StreamSource

API = "http://api"


class Intake:
    """An intake on an explicit clock, which may look at the policy each time."""

    def __init__(self, redis: Redis) -> None:
        self.redis = redis
        self.now_s = 0.0
        self.ledger = Ledger(redis, api=API)
        self.types = FleetTypes(self.ledger.policy, EventTypes(), lambda: self.now_s)
        self.pump = Pump(StreamSource(self.ledger.events, STREAM, self.types), self.ledger, self.types, lambda: None)

    async def take(self, *events: str) -> None:
        """Take in these events, three seconds later."""
        self.now_s += 3.0
        for event in events:
            await self.redis.xadd(STREAM, {"event": event})
        await self.pump.step()

    async def states(self) -> dict[str, State]:
        """The states of the groups."""
        found = await self.ledger.read([f"sg_{number}" for number in range(9)])
        return {closure.reference: closure.state for closure in found if closure}


def event(reference: str, event_type: str, event_id: str = "1", **more: str) -> str:
    """An event of this type."""
    return cloud_event(reference, event_id, type=event_type, **more)


async def test_the_types_of_the_worker_that_started_last(real: Redis) -> None:
    """Its types replace a running worker's own, those that mean complete and those that cancel."""
    intake = Intake(real)
    await intake.take(event("sg_1", "group.complete"), event("sg_2", "group.cancelled"))
    assert await intake.states() == {"sg_1": State.QUEUED}
    await intake.ledger.policy.start(FleetPolicy(1000.0, 0.0, STREAM, "*", 0.0, "group.cancelled"))
    await intake.take(
        event("sg_1", "group.cancelled", "2"), event("sg_3", "odd"), event("sg_4", "group.cancelled")
    )  # fmt: skip
    assert await intake.states() == {"sg_1": State.HELD, "sg_3": State.QUEUED, "sg_4": State.HELD}


async def test_a_policy_that_cannot_be_read(real: Redis) -> None:
    """The types stay as they are, and events are taken in."""
    intake = Intake(real)
    await intake.ledger.policy.start(FleetPolicy(1000.0, 0.0, STREAM, "", 0.0, "group.cancelled"))
    await intake.take()
    await real.delete(key_of("policy"))
    await real.set(key_of("policy"), "not ours")
    await intake.take(event("sg_1", "group.cancelled"))
    assert await intake.states() == {"sg_1": State.HELD}


async def test_it_looks_every_three_seconds(real: Redis) -> None:
    """Not at each step, because a step may take a millisecond."""
    intake = Intake(real)
    await intake.types.look()
    await intake.ledger.policy.start(FleetPolicy(1000.0, 0.0, STREAM, "", 0.0, "group.cancelled"))
    await intake.types.look()
    assert not intake.types.now.cancels("group.cancelled")


async def test_what_becomes_of_cancel_events_is_logged(real: Redis, caplog: pytest.LogCaptureFixture) -> None:
    """One line each, once: a warning for one that came too late, with the command that tells more."""
    intake = Intake(real)
    await intake.ledger.policy.start(FleetPolicy(1000.0, 0.0, STREAM, "", 0.0, "group.cancelled"))
    times = [f"2026-11-25T12:00:0{second}Z" for second in range(5)]
    cancel = event("sg_1", "group.cancelled", "x", time=times[1])
    await plant(intake.ledger, [Seed("sg_3")])
    with caplog.at_level(logging.INFO, "closer.intake"):
        await intake.take(event("sg_1", "group.complete", time=times[0]), cancel, cancel)
        await intake.take(event("sg_2", "group.complete", time=times[3]))
        await intake.take(event("sg_2", "group.cancelled", time=times[2]), event("sg_3", "group.cancelled"))
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", "cancel event x of wms for the group sg_1: it is held"),
        ("INFO", "cancel event 1 of wms for the group sg_2: nothing was changed, because a later event of the same "
                 "source says that it is complete"),
        ("WARNING", "a cancel event came too late: the group sg_3 is closed at Sorted already, and closer cannot open "
                    "it (event 1 of wms); see: closer show sg_3"),
    ]  # fmt: skip


async def test_an_entry_of_two_forms(real: Redis) -> None:
    """A cancel event beside data that may name another group is rejected, as a complete one is."""
    intake = Intake(real)
    await intake.ledger.policy.start(FleetPolicy(1000.0, 0.0, STREAM, "", 0.0, "group.cancelled"))
    await real.xadd(STREAM, {"event": event("sg_1", "group.cancelled"), "data": '{"reference": "sg_2"}'})
    await intake.take()
    assert await intake.states() == {}
    assert await real.xlen(key_of("rejected")) == 1
