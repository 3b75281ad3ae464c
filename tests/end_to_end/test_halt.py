"""A wrong key, a lost permission: its workers halt, and everything closes by others, or once the API lets it."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.ledger.gate import SuspendedKey
from tasks.ledger.ledger import Ledger
from tests.console import called
from tests.end_to_end.cases import CLOSED, error
from tests.end_to_end.fleet import SETTINGS, closures, end_of, wait_for_all
from tests.end_to_end.standin import Script, StandIn, running
from tests.support import API_KEY, Process, count, key_of, publish, run, until
from worker.simulator.faults import Faults
from worker.simulator.server import Simulator, run_in_thread

GROUPS = [f"sg_{number}" for number in range(60)]
MANY = [f"sg_{number}" for number in range(300)]


async def resume(url: str) -> None:
    """Open the gate, as an operator does."""
    client = Redis.from_url(url)
    await Ledger(client).gate.resume(by="test", why="the key is right again")
    await client.aclose()


def suspended(url: str) -> tuple[SuspendedKey, ...]:
    """The keys that the ledger knows to be refused."""

    async def look() -> tuple[SuspendedKey, ...]:
        client = Redis.from_url(url)
        try:
            return (await Ledger(client).gate.look()).suspended
        finally:
            await client.aclose()

    return asyncio.run(look())


def test_a_refused_key_halts_the_fleet_and_nothing_fails(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """On 401 calls stop and every closure waits; when the key counts again and the gate opens, all close, once."""
    with run_in_thread(Simulator(api_key="another-key")) as (base_url, simulator):
        publish(store, GROUPS)
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=base_url, **SETTINGS) as worker:
            until(lambda: store.hexists(key_of("gate"), "unauthorised"), "a shut gate")
            until(lambda: not store.xlen("shipment-groups.complete") and not count(store, "closing"), "rest")
            assert count(store, "queued") == len(GROUPS), worker.output
            refused = simulator.groups.summary()["close_calls"]
            assert 0 < refused < len(GROUPS)
            assert simulator.groups.summary()["effective_closes"] == 0
            simulator.configure(api_key=API_KEY)
            asyncio.run(resume(store_url))
            wait_for_all(store, len(GROUPS), worker)
            assert worker.stop() == 0
        ends = {end_of(closure) for closure in closures(store_url, GROUPS).values()}
        assert ends == {"closed"}
        assert {simulator.records()[ref].effective_closes for ref in GROUPS} == {1}
        assert simulator.groups.summary()["close_calls"] == refused + len(GROUPS)
    assert API_KEY not in worker.output


def test_a_lost_permission_halts_the_fleet_within_a_few_dozen_calls(
    store: redis.Redis, store_url: str, tmp_path: Path
) -> None:
    """Each 403 costs a close and a question for the state, of a few dozen groups; when it is given again all close."""
    with run_in_thread(Simulator(faults=Faults(forbidden=1.0))) as (base_url, simulator):
        publish(store, MANY)
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=base_url, **SETTINGS) as worker:
            until(lambda: store.hexists(key_of("gate"), "unauthorised"), "a shut gate")
            until(lambda: not store.xlen("shipment-groups.complete") and not count(store, "closing"), "rest")
            refused = {endpoint: sum(calls.values()) for endpoint, calls in simulator.groups.summary()["calls"].items()}
            assert refused["close"] == refused["get"] == count(store, "failed"), worker.output
            assert refused["close"] < 60
            for group in simulator.records().values():
                group.fault = None
            simulator.configure(faults=Faults())
            asyncio.run(resume(store_url))
            wait_for_all(store, len(MANY), worker)
            assert worker.stop() == 0
    assert {end_of(closure) for closure in closures(store_url, MANY).values()} == {"closed"}


def test_closed_groups_that_answer_403_halt_nobody(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """An API that says "already closed" by 403 is asked for each state, and the gate stays open."""
    stand_in = StandIn({}, default=Script((error(403, "forbidden"),), (CLOSED,)))
    with running(stand_in) as base_url:
        publish(store, GROUPS)
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=base_url, **SETTINGS) as worker:
            wait_for_all(store, len(GROUPS), worker)
            assert worker.stop() == 0
    assert {end_of(closure) for closure in closures(store_url, GROUPS).values()} == {"already_closed"}
    assert len(stand_in.calls) == 2 * len(GROUPS)
    assert not store.hexists(key_of("gate"), "shut_at")


@pytest.mark.long
def test_one_worker_with_a_refused_key_holds_up_nobody(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Beside a worker whose key is good, one whose key is refused stands still, not ready, named."""
    groups = [f"sg_{number}" for number in range(300)]
    with run_in_thread(Simulator(api_key=API_KEY)) as (base_url, simulator):
        common: dict[str, Any] = {"redis_url": store_url, "api_base_url": base_url} | SETTINGS
        here, there = tmp_path / "bad", tmp_path / "good"
        with (
            Process(tmp_path, "worker", **common, data_dir=here, api_key="refused") as bad,
            Process(tmp_path, "worker", **common, data_dir=there) as good,
        ):
            until(lambda: all(" ready." in worker.output for worker in (bad, good)), "both at work")
            publish(store, ["sg_first"])
            until(lambda: count(store, "closed") == 1, "the first group")
            publish(store, groups)
            wait_for_all(store, 301, good)
            until(lambda: suspended(store_url), "a refusal")
            status = json.loads(called("status", "--json", redis_url=store_url).stdout)
            [key] = status["suspended_keys"]
            assert [name.split(":")[1] for name in key["workers"]] == [str(bad.process.pid)]
            assert status["gate"]["open"]
            until(lambda: run("health", "--ready", **common, data_dir=here).returncode == 1, "not ready")
            assert run("health", "--live", **common, data_dir=here).returncode == 0
            assert run("health", "--ready", **common, data_dir=there).returncode == 0
            assert bad.stop() == 0
            assert good.stop() == 0
        assert {simulator.records()[ref].effective_closes for ref in groups} == {1}
    assert count(store, "failed") == 0
    assert "refused" not in bad.output.replace("refuses", "")
