"""Two releases of closer on one ledger: side by side where that is safe, and else refused by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.ledger.version import LEDGER_VERSION
from tests.faults.inside import planted
from tests.support import Process, count, key_of, publish, run, until
from worker.simulator.server import Simulator, run_in_thread

NEXT = LEDGER_VERSION + 1
NEXT_RELEASE = f"import tasks.ledger.version as version\nversion.LEDGER_VERSION = {NEXT}\n"


@pytest.fixture
def settings(store_url: str) -> Iterator[dict[str, Any]]:
    """Settings of a worker whose API answers."""
    with run_in_thread(Simulator()) as (url, _):
        yield {"redis_url": store_url, "api_base_url": url}


def next_release(folder: Path) -> AbstractContextManager[None]:
    """Processes started meanwhile are of a release whose ledger has the next version."""
    return planted(folder / "next", NEXT_RELEASE)


def version_of(store: redis.Redis) -> int:
    """The ledger's version."""
    return int(store.hget(key_of("policy"), "version") or 0)


@pytest.mark.long
def test_a_rolling_update(store: redis.Redis, tmp_path: Path, settings: dict[str, Any]) -> None:
    """Both releases work side by side; after the old one's goodbye the version rises, and the old one is refused."""
    with Process(tmp_path, "worker", **settings) as old:
        until(lambda: version_of(store) == LEDGER_VERSION, "the ledger's version")
        with next_release(tmp_path):
            new = Process(tmp_path, "worker", **settings)
        with new:
            until(lambda: store.hlen(key_of("workers")) == 2, "both at work")
            publish(store, ["sg_1", "sg_2"])
            until(lambda: count(store, "closed") == 2, "closed")
            assert version_of(store) == LEDGER_VERSION
            assert old.stop() == 0
            until(lambda: version_of(store) == NEXT, "the next version")
            for command in ("status", "list", "check"):
                refused = run(command, **settings)
                assert (refused.returncode, f"has version {NEXT}" in refused.stderr) == (2, True), refused
            with Process(tmp_path, "worker", **settings) as again:
                assert again.process.wait(60) == 2, again.output
            assert "Use the newer closer" in again.output
            publish(store, ["sg_3"])
            until(lambda: count(store, "closed") == 3, "closed")
            assert new.stop() == 0


def test_the_version_rises_under_an_old_worker(store: redis.Redis, tmp_path: Path, settings: dict[str, Any]) -> None:
    """A worker that was held up for so long that the version has risen without it ends, and calls nothing more."""
    with Process(tmp_path, "worker", **settings) as old:
        until(lambda: version_of(store) == LEDGER_VERSION, "the ledger's version")
        store.hset(key_of("policy"), "version", NEXT)
        store.hset(key_of("gate"), "version", NEXT)
        publish(store, ["sg_1"])
        assert old.process.wait(60) == 2, old.output
    assert f"has version {NEXT}" in old.output
    assert count(store, "closed") == 0


def test_a_worker_from_before_versions(store: redis.Redis, tmp_path: Path, settings: dict[str, Any]) -> None:
    """While a worker that does not know versions runs a new one waits and says for whom; then it begins by itself."""
    now_s, _ = store.time()
    store.hset(key_of("workers"), "w0", json.dumps({"at": now_s * 1000 + 20_000, "in_flight": 0}))
    publish(store, ["sg_1"])
    with Process(tmp_path, "worker", **settings) as new:
        until(lambda: "'w0' of an older closer must stop first" in new.output, "a word")
        assert count(store, "closed") == 0
        store.hdel(key_of("workers"), "w0")
        until(lambda: count(store, "closed") == 1, "closed")
        assert new.stop() == 0
