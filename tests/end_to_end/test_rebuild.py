"""The agenda is deleted under a worker that runs: the worker tells, rebuilds it, and closes every group."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.operations.conftest import Cli
from tests.support import Process, count, key_of, publish, until
from worker.simulator.server import Simulator, run_in_thread

REFERENCES = [f"sg_{number}" for number in range(20)]


@pytest.fixture
def evicting(store: redis.Redis) -> Iterator[None]:
    """The store may throw keys away."""
    store.config_set("maxmemory-policy", "allkeys-lru")
    yield
    store.config_set("maxmemory-policy", "noeviction")


@pytest.mark.long
def test_a_deleted_agenda_is_rebuilt(evicting: None, store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Nothing is stranded, nobody has to do anything, and log and audit tell what happened."""
    cli = Cli(store_url)
    cli("pause", "--why", "test")
    with (
        run_in_thread(Simulator()) as (url, _),
        Process(tmp_path, "worker", redis_url=store_url, api_base_url=url) as worker,
    ):
        publish(store, REFERENCES)
        until(lambda: count(store, "queued") == len(REFERENCES), "the events are received")
        until(lambda: store.hget(key_of("inspection"), "ended"), "a first round has ended")
        store.delete(key_of("agenda"), key_of("queued"))
        until(lambda: store.zcard(key_of("agenda")) == len(REFERENCES), "the agenda is rebuilt")
        cli("resume")
        until(lambda: count(store, "closed") == len(REFERENCES), "all are closed")
        until(lambda: "the ledger is whole again: 20 groups were put back" in worker.output, "it is told")
    assert "closer check" in worker.output
    assert "maxmemory-policy is allkeys-lru: under pressure the store throws closures away; CONFIG SET" in worker.output
    entries = [json.loads(line) for line in cli("audit", "--json").stdout.splitlines()]
    rebuilt = [(entry["by"], entry["matched"], entry["changed"]) for entry in entries if entry["action"] == "rebuild"]
    assert rebuilt == [("closer", 40, 40)]
