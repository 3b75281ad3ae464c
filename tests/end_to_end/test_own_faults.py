"""A worker that stood still, or that may open no more files: its failed calls are not the API's fault."""

from __future__ import annotations

import resource
import signal
import time
from pathlib import Path

import pytest
import redis

from tests.end_to_end.cases import OK
from tests.end_to_end.fleet import SETTINGS, closures, end_of, wait_for_all
from tests.end_to_end.standin import Script, StandIn, running
from tests.support import Process, key_of, publish, until
from worker.simulator.script import Hang

GROUPS = [f"sg_{number}" for number in range(40)]
_TIMEOUT_S = 5


def shut_in_all_ms(store: redis.Redis) -> int:
    """How long the gate has been shut."""
    return int(float(store.hget(key_of("gate"), "lost") or 0))


def codes(url: str) -> set[str | None]:
    """What the attempts came to."""
    return {attempt.code for closure in closures(url, GROUPS).values() for attempt in closure.history}


@pytest.mark.long
def test_a_worker_that_was_stopped(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Calls in flight that time out while the process is stopped are retried, and the gate stays open."""
    stand_in = StandIn({}, default=Script((Hang(), OK)))
    settings = {**SETTINGS, "request_timeout": _TIMEOUT_S, "lease": 3 * _TIMEOUT_S, "concurrency": len(GROUPS)}
    with running(stand_in) as base_url:
        publish(store, GROUPS)
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=base_url, **settings) as worker:
            until(lambda: len(stand_in.calls) == len(GROUPS), "calls in flight")
            worker.process.send_signal(signal.SIGSTOP)
            over = time.monotonic() + _TIMEOUT_S + 1
            until(lambda: time.monotonic() > over, "the time-outs")
            assert len(stand_in.calls) == len(GROUPS)
            worker.process.send_signal(signal.SIGCONT)
            wait_for_all(store, len(GROUPS), worker)
            assert worker.stop() == 0, worker.output
    assert shut_in_all_ms(store) == 0, worker.output
    assert {end_of(closure) for closure in closures(store_url, GROUPS).values()} == {"closed"}
    assert codes(store_url) == {"own_fault", None}
    assert "WARNING standstill this process stood still for" in worker.output


def test_a_worker_without_file_descriptors(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Connections that this process may not open are not an outage; the attempts name the cause and its remedy."""
    stand_in = StandIn({}, default=Script((OK,)))
    with running(stand_in) as base_url:
        publish(store, ["sg_first"])
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=base_url, **SETTINGS) as worker:
            wait_for_all(store, 1, worker)
            pid = worker.process.pid
            allowed = resource.prlimit(pid, resource.RLIMIT_NOFILE)
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (len(list(Path(f"/proc/{pid}/fd").iterdir())), allowed[1]))
            publish(store, GROUPS)
            until(lambda: worker.output.count("Too many open files") > len(GROUPS), "attempts that failed")
            resource.prlimit(pid, resource.RLIMIT_NOFILE, allowed)
            wait_for_all(store, len(GROUPS) + 1, worker)
            assert worker.stop() == 0, worker.output
    assert shut_in_all_ms(store) == 0, worker.output
    assert {end_of(closure) for closure in closures(store_url, GROUPS).values()} == {"closed"}
    assert codes(store_url) == {"own_fault", None}
    assert "WARNING api calls to the API fail here" in worker.output
    assert "ulimit -n" in worker.output
