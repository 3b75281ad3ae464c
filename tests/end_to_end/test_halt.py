"""A wrong API key: the fleet halts, nothing fails, and everything closes once the key is accepted."""

from __future__ import annotations

import asyncio
from pathlib import Path

import redis
from redis.asyncio import Redis

from tasks.ledger import Ledger
from tests.end_to_end.fleet import SETTINGS, closures, end_of, wait_for_all
from tests.support import API_KEY, Process, count, publish, until
from worker.demo.simulator import Simulator, run_in_thread

GROUPS = [f"sg_{number}" for number in range(60)]


async def resume(url: str) -> None:
    """Open the gate, as an operator does."""
    client = Redis.from_url(url)
    await Ledger(client).gate("resume", by="test", why="the key is right again")
    await client.aclose()


def test_a_refused_key_halts_the_fleet_and_nothing_fails(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """On 401 calls stop and every closure waits; when the key counts again and the gate opens, all close, once."""
    with run_in_thread(Simulator(api_key="another-key")) as (base_url, simulator):
        publish(store, GROUPS)
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=base_url, **SETTINGS) as worker:
            until(lambda: store.hget("closer:gate", "shut") == b"unauthorised", "a shut gate")
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
