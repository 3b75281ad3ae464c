"""Alerts of real workers: a receiver that hangs slows nothing, and a worker that is killed loses and doubles none."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.end_to_end.fleet import SETTINGS
from tests.receiver import Receiver, receiver
from tests.support import Process, count, key_of, publish, run, until
from tests.web.conftest import Console
from worker.simulator.server import Simulator, run_in_thread


@pytest.fixture
def told() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as running:
        yield running


@pytest.fixture
def settings(store_url: str, told: Receiver, tmp_path: Path) -> Iterator[dict[str, Any]]:
    """A worker's settings."""
    with run_in_thread(Simulator()) as (api, _):
        own = {"redis_url": store_url, "api_base_url": api, "data_dir": tmp_path / "data"}
        yield SETTINGS | own | {"alert_webhook_url": told.url}


def holds(store: redis.Redis) -> bool:
    """Whether a notifier has the lease and has begun."""
    return store.hexists(key_of("alerts"), "cursor")


def test_a_receiver_that_hangs_slows_nothing(
    store: redis.Redis, settings: dict[str, Any], told: Receiver, tmp_path: Path
) -> None:
    """While a message hangs groups are closed, and the worker stops as it should."""
    told.hangs = threading.Event()
    with Process(tmp_path, "worker", **settings) as worker:
        until(lambda: holds(store), "the lease")
        for command in ("pause", "resume"):
            assert run(command, "--why", "x", redis_url=settings["redis_url"], operator="ann").returncode == 0
        until(lambda: told.got, "a message that hangs")
        publish(store, [f"sg_{number}" for number in range(100)])
        until(lambda: count(store, "closed") == 100, "all closed")
        assert len(told.got) == 1
        assert worker.stop() == 0, worker.output
    assert "T0KEN" not in worker.output


def test_a_worker_that_is_killed(store: redis.Redis, settings: dict[str, Any], told: Receiver, tmp_path: Path) -> None:
    """What it has sent is not sent again, and what came after it is sent by the next one, once."""

    def command(name: str) -> None:
        assert run(name, "--why", "x", redis_url=settings["redis_url"], operator="ann").returncode == 0

    with Process(tmp_path, "worker", **settings) as first:
        until(lambda: holds(store), "the lease")
        command("pause")
        until(lambda: told.kinds == ["gate_shut"], "the first alert")
        until(lambda: store.hget(key_of("tally"), "alerts:delivered") == b"1", "it is written down")
        first.stop(signal.SIGKILL)
    command("resume")
    store.hset(key_of("alerts"), "until", 1)  # its lease ends, by and by
    with Process(tmp_path, "worker", **settings | {"data_dir": tmp_path / "other"}) as second:
        until(lambda: "gate_opened" in told.kinds, "the alert of the second worker")
        assert second.stop() == 0, second.output
    assert told.kinds == ["gate_shut", "gate_opened"]
    assert len({*told.ids}) == 2


@pytest.mark.long
def test_a_console_tells_that_no_worker_lives(
    store: redis.Redis, store_url: str, told: Receiver, tmp_path: Path
) -> None:
    """It has the lease while nobody else wants it, and stops as it should."""
    with Console(tmp_path, store_url, alert_webhook_url=told.url) as console:
        until(lambda: holds(store), "the lease")
        assert run("pause", "--why", "x", redis_url=store_url, operator="ann").returncode == 0
        until(lambda: told.kinds == ["gate_shut"], "the alert")
        until(lambda: "no_workers" in str(told.documents), "no worker is alive, for a minute", 100)
        assert console.process.stop() == 0, console.process.output
