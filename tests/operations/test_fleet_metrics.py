"""The fleet's metrics: every series from the start, at a fixed price, and an answer while the store is away."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis
from prometheus_client.parser import text_string_to_metric_families
from pydantic import SecretStr
from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.events.event import GroupComplete
from tasks.ledger.gate import REASONS
from tasks.ledger.heartbeat import read_heartbeat
from tasks.ledger.values import Settlement
from tests.operations.conftest import Cli
from tests.operations.seed import SEEDS, Seed, plant
from tests.support import free_port, key_of, url_of, valkey
from tests.tasks.book import START_MS, Book
from worker.operations.context import OperatorContext, open_context
from worker.operations.metrics import FleetMetrics, fleet_metrics
from worker.operations.operator import Operator, Role
from worker.operations.refusal import Refused
from worker.operations.snapshot import Life, lives
from worker.settings import Settings

VIEWER = Operator("vera", Role.VIEWER, "console")
MANY = 2000


class Clock:
    """Seconds, as the test says."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def settings(url: str) -> Settings:
    """Those of a process with this store."""
    return Settings(redis_url=SecretStr(url))


@pytest.fixture
async def context(store_url: str) -> AsyncIterator[OperatorContext]:
    """A viewer at an empty store."""
    async with open_context(VIEWER, settings(store_url)) as opened:
        yield opened


def values(text: bytes) -> dict[str, float]:
    """The value of each series by its name and the value of its label, or labels."""
    return {
        ":".join([sample.name, *(value for _, value in sorted(sample.labels.items()))]): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


async def read(context: OperatorContext) -> dict[str, float]:
    """The metrics now."""
    return values(await fleet_metrics(context))


async def test_every_series_is_there_from_the_start(context: OperatorContext) -> None:
    """An alert on the first failure needs the 0 before it. Counts of many groups add no series."""
    before = await read(context)
    assert before["closer_store_up"] == before["closer_gate_open"] == 1
    zero = [f"closer_failures_total:{reason}" for reason in Reason]
    zero += [f"closer_gate_shut_total:{reason}" for reason in REASONS]
    zero += [f"closer_closed_total:{outcome}" for outcome in Outcome]
    zero += ["closer_operator_actions_total:discard_rejected", "closer_lost_leases_total", "closer_attempts_total:halt"]
    zero += ["closer_events_total:task:rejected", "closer_alert_deliveries_total:expired", "closer_workers:silent"]
    assert {name: before[name] for name in zero} == dict.fromkeys(zero, 0)
    await plant(context.ledger, [Seed(f"sg_{number}", Reason.GONE, 410) for number in range(MANY)])
    after = await read(context)
    assert {*after} == {*before}
    assert len(after) < 200
    assert after["closer_failures_total:gone"] == after["closer_failed_closures:gone"] == MANY


async def test_they_tell_what_is_so(context: OperatorContext, store: redis.Redis) -> None:
    """Counts, states, what is due, the gate, workers and events, as the ledger has them."""
    await plant(context.ledger, SEEDS)
    await context.ledger.receive([GroupComplete("sg_9", "wms", "e9")])
    store.xadd("shipment-groups.complete", {"event": "x"}, id="1700000000000-0")
    await context.ledger.heartbeats.write("host:1", {"trouble": "no store"})
    await context.ledger.heartbeats.write("host:2", {})
    found = await read(context)
    assert [found[f"closer_closures:{state}"] for state in ("closed", "failed", "queued", "retrying")] == [1, 2, 1, 0]
    assert (found["closer_due_now"], found["closer_intake_backlog:stream"]) == (1, 1)
    assert found["closer_events_total:stream:new"] == found["closer_attempts_total:refused"] + 2 == 4
    assert (found["closer_workers:waiting"], found["closer_workers:working"]) == (1, 1)
    assert found["closer_last_close_timestamp_seconds"] <= found["closer_last_event_timestamp_seconds"] <= time.time()
    await context.ledger.gate.pause(by="ann", why="x")
    found = await read(context)
    assert (found["closer_gate_open"], found["closer_gate_shut:paused"], found["closer_due_now"]) == (0, 1, 0)
    assert found["closer_gate_since_timestamp_seconds"] > 1_700_000_000
    assert math.isnan(found["closer_deadline_seconds"])  # no worker has said yet


async def test_a_scrape_costs_the_store_the_same_whatever_it_holds(
    context: OperatorContext, store: redis.Redis
) -> None:
    """The number of commands, those of scripts included, does not grow with the ledger."""

    async def cost() -> int:
        await fleet_metrics(context)
        store.config_resetstat()
        await fleet_metrics(context)
        return sum(told["calls"] for name, told in store.info("commandstats").items() if "config" not in name)

    await context.ledger.receive([GroupComplete("sg_first", "wms", "e")])
    few = await cost()
    await plant(context.ledger, [Seed(f"sg_{number}", Reason.GONE if number % 2 else None) for number in range(MANY)])
    await context.ledger.receive([GroupComplete(f"open_{number}", "wms", "e") for number in range(500)])
    assert await cost() == few < 60


async def test_many_who_ask_share_a_snapshot(context: OperatorContext, store: redis.Redis) -> None:
    """The store is asked once a second, however many scrape."""
    clock = Clock()
    metrics = FleetMetrics(clock)
    store.config_resetstat()
    for _ in range(3):
        await asyncio.gather(*(metrics.text(context) for _ in range(20)))
    assert store.info("commandstats")["cmdstat_info"]["calls"] == 1
    clock.now_s += 1
    await metrics.text(context)
    assert store.info("commandstats")["cmdstat_info"]["calls"] == 3  # this test asks, too


async def test_the_store_goes_away_and_comes_back(tmp_path: Path) -> None:
    """The last snapshot stays, with its age; who asks is answered within a second, also by a store that hangs."""
    clock, port = Clock(), free_port()
    metrics = FleetMetrics(clock)
    with valkey(tmp_path, port) as server:
        url = url_of(server)
        async with open_context(VIEWER, settings(url)) as context:
            await context.ledger.receive([GroupComplete("sg_1", "wms", "e")])
            assert values(await metrics.text(context))["closer_closures:queued"] == 1
            clock.now_s += 5
            with redis.Redis.from_url(url) as client:
                client.execute_command("CLIENT", "PAUSE", 5000, "ALL")
                async with asyncio.timeout(3):  # it hangs for five
                    found = values(await metrics.text(context))
                assert (found["closer_store_up"], found["closer_closures:queued"]) == (0, 1)
                assert found["closer_snapshot_age_seconds"] == 5
                client.execute_command("CLIENT", "UNPAUSE")
            clock.now_s += 1
            assert values(await metrics.text(context))["closer_store_up"] == 1
    async with open_context(VIEWER, settings(url)) as context:
        found = values(await FleetMetrics().text(context))
    assert found["closer_store_up"] == 0
    assert math.isnan(found["closer_snapshot_age_seconds"])
    assert "closer_gate_open" not in found


async def test_whether_the_store_is_safe(context: OperatorContext, store: redis.Redis) -> None:
    """It must write down what it confirms and throw nothing away; where it may not be asked, that is not known."""
    assert (await read(context))["closer_store_safe"] == 1
    store.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert (await read(context))["closer_store_safe"] == 0
    finally:
        store.config_set("maxmemory-policy", "noeviction")


async def test_who_may_look(store_url: str) -> None:
    """A program that only sends events may not, also while the snapshot of another one is fresh."""
    metrics = FleetMetrics()
    async with open_context(VIEWER, settings(store_url)) as context:
        await metrics.text(context)
    async with open_context(Operator("x", Role.EMITTER, "api"), settings(store_url)) as context:
        with pytest.raises(Refused):
            await metrics.text(context)


async def test_how_workers_are(real: Redis) -> None:
    """Silent for 20 s counts as silent; a suspended key is told; who was silent for an hour is forgotten."""
    book = Book(real)
    await book.alive(w1="refused", w2="good")
    await book.ledger.settle([Settlement("x", 1, State.QUEUED, health=ApiHealth.UNAUTHORISED)], key="refused")
    gate = await book.ledger.gate.look()
    said = {b"a": b"}", b"b": b',"key":"refused"}', b"c": b',"trouble":"no store"}', b"d": b", and that is not JSON"}
    known = [read_heartbeat(name, b'{"at":%d' % START_MS + more) for name, more in said.items()]
    old = [read_heartbeat(b"e", b'{"at":%d}' % (START_MS - ago_ms)) for ago_ms in (20_001, 3_600_000)]
    assert lives([*known, *old], gate) == [Life.WORKING, Life.REFUSED, Life.WAITING, Life.SILENT]


def test_the_command(cli: Cli) -> None:
    """`closer metrics` prints them once; while the store is away it says so in both ways."""
    assert values(cli.text("metrics").encode())["closer_store_up"] == 1
    away = cli("metrics", code=1, redis_url=f"redis://127.0.0.1:{free_port()}/0")
    assert values(away.stdout.encode())["closer_store_up"] == 0
    assert "the store does not answer; `closer check` says what is wrong" in away.stderr


def test_nothing_of_a_group_is_in_them(cli: Cli, store: redis.Redis) -> None:
    """No reference, no source and no name."""
    cli.sow([Seed("sg_secret", Reason.GONE, 410, source="wms-leeds")])
    store.hset(key_of("tally"), "failures:foreign", 7)
    text = cli.text("metrics")
    assert not any(word in text for word in ("sg_secret", "wms-leeds", "foreign", "host:1"))
