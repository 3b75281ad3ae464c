"""From an event to a closed group: a real worker process, a real Valkey, real HTTP to the simulator."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.support import Process, count, publish, until
from worker.simulator.server import Simulator, run_in_thread


def test_events_become_closed_groups(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Every event on the stream ends as a closed group, closed once, and the stream is empty again."""
    references = [f"sg_{number:032d}" for number in range(40)]
    with run_in_thread(Simulator()) as (base_url, simulator):
        publish(store, references)
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=base_url) as worker:
            until(lambda: count(store, "closed") == len(references), "all closed")
            assert worker.stop() == 0, worker.output
        records = simulator.records()
    assert {ref: records[ref].effective_closes for ref in references} == dict.fromkeys(references, 1)
    assert store.xlen("shipment-groups.complete") == 0
