"""One ledger, one API: a rehearsal on the production ledger closes nothing, and a move is made on purpose only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.console import called
from tests.support import Process, count, key_of, publish, run, until
from worker.simulator.server import Simulator, run_in_thread


@contextmanager
def two_apis() -> Iterator[tuple[tuple[str, Simulator], tuple[str, Simulator]]]:
    """The API of the ledger's groups, and another one, that answers as well."""
    with run_in_thread(Simulator()) as one, run_in_thread(Simulator()) as other:
        yield one, other


def test_the_second_api_is_refused(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A worker with another API ends with exit code 2, `verify` and `check` refuse, and nothing is called there."""
    with two_apis() as ((url, _), (other_url, other)):
        ours: dict[str, Any] = {"redis_url": store_url, "api_base_url": url}
        theirs = ours | {"api_base_url": other_url}
        with Process(tmp_path, "worker", **ours) as worker:
            publish(store, ["sg_1"])
            until(lambda: count(store, "closed") == 1, "closed")
            with Process(tmp_path, "worker", **theirs) as second:
                assert second.process.wait(60) == 2, second.output
            verify, check = called("verify", "sg_1", **theirs), run("check", **theirs)
            assert (verify.returncode, check.returncode) == (2, 1)
            for words in (second.output, verify.stderr, check.stdout):
                assert url in words
                assert other_url in words
                assert "closer ledger move-api --why" in words
            moved = called("ledger", "move-api", "--why", "x", **theirs)
            assert (moved.returncode, "may still call" in moved.stderr) == (1, True), moved.stderr
            for command in (["status"], ["list"], ["show", "sg_1"], ["requeue", "sg_1", "--dry-run"], ["audit"]):
                assert called(*command, **theirs).returncode == 0, command
            assert worker.stop() == 0
        assert "was not asked" in check.stdout
        assert other.groups.calls.total() == 0


@pytest.mark.long
def test_moved_on_purpose(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """When all workers have stopped the ledger is moved, by name and with a reason; then only the new API is called."""
    with two_apis() as ((url, one), (other_url, other)):
        ours: dict[str, Any] = {"redis_url": store_url, "api_base_url": url}
        theirs = ours | {"api_base_url": other_url + "/", "operator": "olga"}
        with Process(tmp_path, "worker", **ours) as worker:
            publish(store, ["sg_1"])
            until(lambda: count(store, "closed") == 1, "closed")
            assert worker.stop() == 0
        moved = called("ledger", "move-api", "--why", "Sorted has moved", **theirs)
        assert (moved.returncode, other_url in moved.stdout) == (0, True), moved.stderr
        audit = called("audit", **theirs).stdout
        for words in ("olga: move-api", f"{url} -> {other_url}", "why: Sorted has moved", "changed 1 of 1"):
            assert words in audit
        with Process(tmp_path, "worker", **theirs) as worker:
            publish(store, ["sg_2"])
            until(lambda: count(store, "closed") == 2, "closed")
            assert worker.stop() == 0
        assert (list(one.records()), list(other.records())) == (["sg_1"], ["sg_2"])


def test_a_running_worker_notices(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A worker that was held up while the ledger moved calls nothing more, and ends with exit code 2."""
    with run_in_thread(Simulator()) as (url, api):
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=url) as worker:
            until(lambda: store.hlen(key_of("workers")), "alive")
            store.hset(key_of("policy"), "api", "https://api.sorted.com/pro")
            publish(store, [f"sg_{number}" for number in range(50)])
            assert worker.process.wait(60) == 2, worker.output
            assert "this ledger is for the API at https://api.sorted.com/pro" in worker.output
        assert api.records() == {}
        assert count(store, "closed") == 0
        assert store.zcard(key_of("agenda")) + store.xlen("shipment-groups.complete") == 50


def test_no_reason_no_move(store_url: str) -> None:
    """A move without a reason is a wrong usage."""
    assert called("ledger", "move-api", redis_url=store_url).returncode == 2
