"""Holds with real workers and a slow API: a group is not called after its hold has answered `held`, whatever comes."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis

from tasks.closure import State
from tests.end_to_end.fleet import SETTINGS, closures, own_store
from tests.support import Process, count, key_of, publish, until, until_soon
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext, open_context
from worker.operations.frozen import freeze
from worker.operations.hold import follow, hold, release
from worker.operations.operator import Operator, Role, Verb
from worker.operations.selection import Selection
from worker.settings import load
from worker.simulator.faults import Faults
from worker.simulator.script import Answer, Call, Own
from worker.simulator.server import Simulator, run_in_thread

GROUPS = [f"sg_{number:04}" for number in range(1000)]
HOLDS, LATENCY_S, AT_ONCE = 600, 0.15, 10
ANNA = Operator("anna", Role.OPERATOR, "test")


class Watched:
    """The simulated API, which notes when each close call came."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []
        self.simulator = Simulator(faults=Faults(latency_s=LATENCY_S, error_500=0.2), script=self.see)

    async def see(self, call: Call, own: Own) -> Answer:
        """Note the call, and let it take effect."""
        if call.endpoint == "close":
            self.calls.append((call.reference, call.at))
        return await own()


@dataclass
class Fleet:
    """Two workers, their store and API, and what starts one more."""

    url: str
    store: redis.Redis
    watched: Watched
    workers: list[Process]
    start: Callable[[], Process]


@pytest.fixture
def fleet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Fleet]:
    """A fleet whose settings are this process's, too."""
    with own_store(tmp_path / "store") as (url, store), ExitStack() as running:
        watched = Watched()
        api, _ = running.enter_context(run_in_thread(watched.simulator))
        settings = {**SETTINGS, "redis_url": url, "api_base_url": api, "concurrency": AT_ONCE}
        for name, value in settings.items():
            monkeypatch.setenv(f"CLOSER_{name.upper()}", str(value))
        monkeypatch.setenv("CLOSER_API_KEY", "key")

        def start() -> Process:
            return running.enter_context(Process(tmp_path, "worker", **settings))

        yield Fleet(url, store, watched, [start(), start()], start)


async def hold_one(context: OperatorContext, reference: str) -> float | None:
    """Hold one group, and wait for its attempt. Returns when it was answered `held`; None: it was too late."""
    frozen = await freeze(context, Verb.HOLD, Selection((reference,)), "test")
    result = await hold(context, frozen, BulkOptions("test"))
    await follow(context, result, asyncio.Event())
    return time.monotonic() if result.held else None


async def hold_some(watched: Watched, chosen: list[str]) -> dict[str, float]:
    """Hold these at random moments of the first half of the work. Returns when each that is held was answered so."""
    moments = sorted(random.Random(7).randrange(len(GROUPS) // 3) for _ in chosen)
    async with open_context(ANNA, load()) as context:
        waiting = []
        for reference, moment in zip(chosen, moments, strict=True):
            await until_soon(lambda moment=moment: len(watched.calls) >= moment)  # type: ignore[misc]
            waiting.append(asyncio.create_task(hold_one(context, reference)))
        answered = await asyncio.gather(*waiting)
    return {ref: at for ref, at in zip(chosen, answered, strict=True) if at is not None}


async def disturb(url: str, held: list[str]) -> None:
    """Operators re-queue held groups, and another program damages records."""
    async with open_context(ANNA, load()) as context:
        assert set(await context.ledger.requeue(held[:50])) == {"held"}
    client = Redis.from_url(url)
    for reference in held[50:60]:
        await client.set(key_of(f"c:{reference}"), "{")
    await client.aclose()


def test_a_held_group_is_not_called(fleet: Fleet) -> None:
    """1,000 groups, 600 holds at random moments; then duplicates, re-queues, damage, and a rolling restart."""
    store, watched = fleet.store, fleet.watched
    publish(store, GROUPS)
    chosen = random.Random(3).sample(GROUPS, HOLDS)
    answered = asyncio.run(hold_some(watched, chosen))
    assert len(answered) >= 300
    held = list(answered)
    publish(store, held[:100], prefix="again")
    asyncio.run(disturb(fleet.url, held))
    fleet.start()
    assert fleet.workers[0].stop() == 0
    until(lambda: not store.zcard(key_of("agenda")) and count(store, "closed") == len(GROUPS) - len(held), "the rest")
    assert [(ref, at) for ref, at in watched.calls if ref in answered and at > answered[ref]] == []
    found = closures(fleet.url, GROUPS)
    assert {ref for ref, closure in found.items() if closure.state is State.HELD} == set(held)
    assert {ref for ref, closure in found.items() if closure.state is State.CLOSED} == set(GROUPS) - set(held)
    asyncio.run(release_all(held))
    until(lambda: count(store, "closed") == len(GROUPS), "all of them, once they are released")


async def release_all(held: list[str]) -> None:
    """Release them."""
    async with open_context(ANNA, load()) as context:
        frozen = await freeze(context, Verb.RELEASE, Selection(tuple(held)), "test")
        result = await release(context, frozen, BulkOptions("test"))
        assert result.changed == len(held)
