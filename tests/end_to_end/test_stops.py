"""A worker that ends, gently or not, in the middle of its work: nothing is lost, nothing is closed twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.end_to_end.fleet import ended, wait_for_all
from tests.support import STREAM, Process, count, environment, key_of, publish, until
from worker.simulator.faults import Faults
from worker.simulator.server import Simulator, run_in_thread

SETTINGS = {"retry_base": 0.05, "retry_cap": 0.2, "request_timeout": 2, "lease": 3}
SLOW = Faults(latency_s=0.2)


@dataclass(frozen=True, slots=True)
class Load:
    """Groups published, a slow API, and workers to close them."""

    url: str
    store: redis.Redis
    simulator: Simulator
    groups: list[str]
    folder: Path

    def worker(self, **more: object) -> Process:
        """One more worker."""
        given = {**SETTINGS, "redis_url": self.url, "api_base_url": self.simulator.base_url, **more}
        return Process(self.folder, "worker", **given)

    def until_in_the_middle(self) -> None:
        """Returns when some groups are closed and some calls are in flight."""
        until(lambda: count(self.store, "closed") >= 10 and count(self.store, "closing") >= 5, "the middle of the work")
        assert count(self.store, "closed") < len(self.groups)

    def check(self) -> None:
        """Every group is closed in the ledger and at the API, once, and was received once."""
        records = self.simulator.records()
        assert count(self.store, "closed") == len(self.groups)
        assert {ref: records[ref].effective_closes for ref in self.groups} == dict.fromkeys(self.groups, 1)
        assert not self.store.xlen(STREAM)


@contextmanager
def load(store: redis.Redis, url: str, folder: Path, groups: int, *, held: bool = False) -> Iterator[Load]:
    """A load of so many groups; `held`: the test publishes them."""
    references = [f"sg_{number:04d}" for number in range(groups)]
    with run_in_thread(Simulator(faults=SLOW)) as (_, simulator):
        if not held:
            publish(store, references)
        yield Load(url, store, simulator, references, folder)


def test_sigterm_under_load_loses_nothing(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Told to stop, a worker ends its calls, hands the rest back at once, and the next one does that rest."""
    with load(store, store_url, tmp_path, 500) as work:
        with work.worker(concurrency=8) as first:  # so that most of what is claimed has not begun
            work.until_in_the_middle()
            assert first.stop() == 0, first.output
        assert count(store, "closing") == 0, "a lease was left behind"
        assert ended(store) + count(store, "queued") + store.xlen(STREAM) == len(work.groups)
        records = work.simulator.records()
        assert sum(record.effective_closes for record in records.values()) == count(store, "closed")
        assert sum(record.close_calls for record in records.values()) == count(store, "closed")
        with work.worker() as second:
            wait_for_all(store, len(work.groups), second)
            assert second.stop() == 0, second.output
        work.check()
        assert {record.close_calls for record in work.simulator.records().values()} == {1}


@pytest.mark.long(but=["15"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_idle_worker_stops_with_exit_code_0(
    store: redis.Redis, store_url: str, tmp_path: Path, how: signal.Signals
) -> None:
    """Without work a worker ends on Ctrl-C and on SIGTERM, as a success, and takes its name off."""
    with load(store, store_url, tmp_path, 1) as work, work.worker() as worker:
        wait_for_all(store, 1, worker)
        until(lambda: store.hlen(key_of("workers")) == 1, "a sign of life")
        assert worker.stop(how) == 0, worker.output
        assert store.hlen(key_of("workers")) == 0
        assert "Traceback" not in worker.output


def test_kill_9_in_mid_flight_closes_everything_once(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A killed worker's leases end by themselves; the next worker closes what it left, and nothing twice."""
    with load(store, store_url, tmp_path, 90) as work:
        with work.worker() as first:
            work.until_in_the_middle()
            until(lambda: not store.zcard(key_of("dispatched")), "a moment when no message is on its way")
            assert first.stop(signal.SIGKILL) == -signal.SIGKILL
        assert count(store, "closing") > 0
        with work.worker() as second:
            wait_for_all(store, len(work.groups), second)
            assert second.stop() == 0, second.output
        work.check()


def test_two_workers_share_the_work(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Two workers close every group once, with one call each, and both take part."""
    with load(store, store_url, tmp_path, 400, held=True) as work, work.worker() as first, work.worker() as second:
        until(lambda: all(" ready." in worker.output for worker in (first, second)), "both at work")
        publish(store, work.groups)
        wait_for_all(store, len(work.groups), first)
        assert [first.stop(), second.stop()] == [0, 0]
        assert min(worker.output.count("closure.attempted") for worker in (first, second)) > 0
        work.check()
        assert {record.close_calls for record in work.simulator.records().values()} == {1}


def test_celery_starts_the_same_worker(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """`celery -A worker.app worker` takes in events, closes groups and stops as `closer worker` does."""
    with load(store, store_url, tmp_path, 30) as work, (tmp_path / "celery.log").open("wb") as log:
        settings = {**SETTINGS, "redis_url": store_url, "api_base_url": work.simulator.base_url}
        with subprocess.Popen(
            [sys.executable, "-m", "celery", "-A", "worker.app", "worker"],
            env=environment(**settings), cwd=Path(__file__).parents[2], stdout=log, stderr=log,
        ) as worker:  # fmt: skip
            try:
                until(lambda: worker.poll() is not None or count(store, "closed") == 30, "30 closed groups")
                assert worker.poll() is None, (tmp_path / "celery.log").read_text()
                worker.terminate()
                assert worker.wait(45) == os.EX_OK
            finally:
                worker.kill()
        work.check()
        assert "closure.attempted" in (tmp_path / "celery.log").read_text()
