"""`celery worker -l LEVEL --logfile FILE` and `celery multi`: both log as they were told to."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.end_to_end.fleet import SETTINGS
from tests.support import API_KEY, environment, key_of, publish, until
from worker.simulator.server import Simulator, run_in_thread

ROOT = Path(__file__).parents[2]
CELERY = [sys.executable, "-m", "celery"]
APP = ["-A", "worker.app"]
END_S = 60.0


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Iterator[dict[str, str]]:
    """A worker's environment."""
    with run_in_thread(Simulator()) as (api, _):
        yield environment(**SETTINGS, redis_url=store_url, api_base_url=api, data_dir=tmp_path / "data")


@contextmanager
def worker(settings: dict[str, str], *options: str) -> Iterator[subprocess.Popen[str]]:
    """`celery worker` with these options."""
    with subprocess.Popen(
        [*CELERY, *APP, "worker", *options], env=settings, cwd=ROOT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            process.kill()


def closed(store: redis.Redis, log: Path) -> None:
    """Returns when a group that is published now is closed, and the log says so."""
    publish(store, ["sg_1"])
    until(lambda: store.zscore(key_of("closed"), "sg_1"), "the group closed")
    until(lambda: "closure.attempted" in log.read_text(), "its line in the log")


@pytest.mark.parametrize("level", ["debug", "info"])
def test_level_and_file(store: redis.Redis, settings: dict[str, str], tmp_path: Path, level: str) -> None:
    """The file has the log, at that level whatever CLOSER_LOG_LEVEL is, and no secret; stderr has nothing."""
    log = tmp_path / "logs-w1.log"
    settings["CLOSER_LOG_LEVEL"] = "error"
    with worker(settings, "-n", "w1@host", "-l", level, "--logfile", str(tmp_path / "logs-%n.log")) as process:
        until(log.exists, "the log file")
        closed(store, log)
        process.terminate()
        assert process.communicate(timeout=END_S)[0] == ""
        assert process.returncode == 0
    assert (" DEBUG " in log.read_text()) == (level == "debug")
    assert API_KEY not in log.read_text()


def test_without_options(store: redis.Redis, settings: dict[str, str]) -> None:
    """Without them the log goes to stderr, at the level of CLOSER_LOG_LEVEL, not at Celery's default."""
    with worker(settings) as process:
        publish(store, ["sg_1"])
        until(lambda: store.zscore(key_of("closed"), "sg_1"), "the group closed")
        process.terminate()
        assert "closure.attempted" in process.communicate(timeout=END_S)[0]


def test_a_file_that_cannot_be_opened(settings: dict[str, str], tmp_path: Path) -> None:
    """The worker does not start, and names the file."""
    with worker(settings, "--logfile", str(tmp_path / "missing" / "log")) as process:
        output = process.communicate(timeout=END_S)[0]
    assert process.returncode == 2
    assert f"the log file {tmp_path / 'missing' / 'log'} cannot be opened (No such file or directory)" in output
    assert "Traceback" not in output


@pytest.mark.long
def test_multi(store: redis.Redis, settings: dict[str, str], tmp_path: Path) -> None:
    """`celery multi start` runs workers in the background, each with its log; `stopwait` ends them."""
    options = [*APP, f"--pidfile={tmp_path}/%n.pid", f"--logfile={tmp_path}/%n%I.log", "-l", "info"]
    started = subprocess.run(
        [*CELERY, "multi", "start", "w1", "w2", *options], env=settings, cwd=ROOT, capture_output=True, text=True,
        timeout=END_S, check=False,
    )  # fmt: skip
    assert started.returncode == 0, started.stdout
    pids = [tmp_path / "w1.pid", tmp_path / "w2.pid"]
    try:
        until(lambda: all(path.exists() for path in pids), "two workers")
        until(lambda: all(" ready." in (tmp_path / f"{name}.log").read_text() for name in ("w1", "w2")), "both ready")
        publish(store, [f"sg_{number}" for number in range(20)])
        until(lambda: store.zcard(key_of("closed")) == 20, "all closed")
        subprocess.run(
            [*CELERY, "multi", "stopwait", "w1", "w2", f"--pidfile={tmp_path}/%n.pid"], env=settings, cwd=ROOT,
            capture_output=True, timeout=END_S, check=True,
        )  # fmt: skip
        until(lambda: not store.hlen(key_of("workers")), "both have said goodbye")
    finally:
        for path in pids:
            if path.exists():
                os.kill(int(path.read_text()), signal.SIGKILL)
    logs = "".join((tmp_path / f"{name}.log").read_text() for name in ("w1", "w2"))
    assert logs.count("closure.attempted") == 20
    assert "Traceback" not in logs
