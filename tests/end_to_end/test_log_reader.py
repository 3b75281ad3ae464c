"""Whoever reads a worker's log may go, stall or be full: groups are closed, and the worker stops when it is told to."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import redis

from tests.console import called
from tests.end_to_end.fleet import SETTINGS
from tests.faults.inside import planted
from tests.support import CLOSER, count, environment, key_of, publish, run, until
from worker.simulator.server import Simulator, run_in_thread

A_PAGE = 4096
END_S = 45.0
GROUPS = [f"sg_{number:03d}" for number in range(100)]
# The 8 MiB that may wait for a reader, shortened.
LITTLE = """
import worker.observe.logs
worker.observe.logs.MOST_HELD = 5_000
"""


@dataclass
class Worker:
    """A worker whose stdout and stderr are both one pipe; `reader` is its other end."""

    process: subprocess.Popen[bytes]
    reader: int
    output: bytes = b""
    _reading: list[Thread] = field(default_factory=list)

    def read(self) -> None:
        """Read from now on, until the worker ends."""

        def reads() -> None:
            while data := os.read(self.reader, A_PAGE):
                self.output += data

        self._reading.append(Thread(target=reads, daemon=True))
        self._reading[0].start()

    def lines(self) -> list[str]:
        """All that it has written, when it has ended."""
        self._reading[0].join(END_S)
        return self.output.decode().splitlines()

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal to the worker and its children, as a terminal does; returns the exit code."""
        os.killpg(self.process.pid, how)
        return self.process.wait(END_S)


@contextmanager
def worker(folder: Path, **settings: object) -> Iterator[Worker]:
    """A running worker whose pipe holds a page."""
    reader, end = os.pipe()
    fcntl.fcntl(end, fcntl.F_SETPIPE_SZ, A_PAGE)
    with subprocess.Popen(
        [*CLOSER, "worker"], env=environment(**SETTINGS, **settings), stdout=end, stderr=end, cwd=folder,
        start_new_session=True,
    ) as process:  # fmt: skip
        os.close(end)
        try:
            yield Worker(process, reader)
        finally:
            process.kill()


@pytest.fixture
def api() -> Iterator[str]:
    """The address of a simulated API."""
    with run_in_thread(Simulator()) as (base_url, _):
        yield base_url


def all_closed(store: redis.Redis, running: subprocess.Popen[bytes]) -> None:
    """Returns when every group is closed; the worker must not end before."""
    publish(store, GROUPS)
    until(lambda: running.poll() is not None or count(store, "closed") == len(GROUPS), "all closed")
    assert running.poll() is None


@pytest.mark.long(but=["15"])
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_reader_that_is_gone(
    store: redis.Redis, store_url: str, api: str, tmp_path: Path, how: signal.Signals
) -> None:
    """As with `closer worker 2>&1 | head -3`: it goes on, ends well when it is told to, and `status` tells of it."""
    settings: dict[str, Any] = {"redis_url": store_url, "api_base_url": api}
    with worker(tmp_path, **settings) as running:
        until(lambda: os.read(running.reader, 1), "a first word")
        os.close(running.reader)
        all_closed(store, running.process)
        until(
            lambda: json.loads(called("status", "--json", **settings).stdout)["workers"][0]["log_lines_lost"],
            "the loss",
        )
        assert "lines were lost" in called("status", **settings).stdout
        assert running.stop(how) == 0
    assert store.hlen(key_of("workers")) == 0


@pytest.mark.long
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_reader_that_stalls(
    store: redis.Redis, store_url: str, api: str, tmp_path: Path, how: signal.Signals
) -> None:
    """With a log that nobody reads, however much is said, groups are closed, and the worker ends well."""
    with worker(tmp_path, redis_url=store_url, api_base_url=api, log_level="debug") as running:
        all_closed(store, running.process)
        assert running.stop(how) == 0
    os.close(running.reader)


@pytest.mark.long
def test_a_reader_that_reads_again(store: redis.Redis, store_url: str, api: str, tmp_path: Path) -> None:
    """A reader that has stalled is told how many lines are missing, and then gets all lines again, in JSON as ever."""
    settings = {"redis_url": store_url, "api_base_url": api, "log_format": "json"}
    with planted(tmp_path / "little", LITTLE), worker(tmp_path, **settings) as running:
        all_closed(store, running.process)
        running.read()
        until(lambda: b"lines were lost" in running.output, "the notice")
        assert running.stop() == 0
        events = [json.loads(line)["event"] for line in running.lines()]
    lost = sum(int(found[1]) for event in events if (found := re.match(r"(\d+) log lines were lost", event)))
    attempts = events.count("closure.attempted")
    assert 0 < attempts < len(GROUPS) <= attempts + lost
    assert "Warm shutdown" in events[-1]
    os.close(running.reader)


@pytest.mark.long(but=["2>&-"])
@pytest.mark.parametrize("redirected", [">/dev/full 2>&1", "2>&-", ">&- 2>&-", ">&- 2>&- <&-"])
def test_nowhere_to_write(store: redis.Redis, store_url: str, api: str, tmp_path: Path, redirected: str) -> None:
    """With a full disk under its log, or without any stderr, a worker works and ends well."""
    with subprocess.Popen(
        ["sh", "-c", f'exec "$@" {redirected}', "sh", *CLOSER, "worker"],
        env=environment(**SETTINGS, redis_url=store_url, api_base_url=api), cwd=tmp_path,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as running:  # fmt: skip
        try:
            all_closed(store, running)
            running.terminate()
            assert running.wait(END_S) == 0
        finally:
            running.kill()


@pytest.mark.parametrize("command", ["closer", "celery"])
def test_every_line_is_json(store: redis.Redis, store_url: str, api: str, tmp_path: Path, command: str) -> None:
    """With CLOSER_LOG_FORMAT=json each line is JSON, from Celery's first words to the last, whoever prints it."""
    given = environment(**SETTINGS, redis_url=store_url, api_base_url=api, log_format="json")
    arguments = (
        [*CLOSER, "worker"] if command == "closer" else [CLOSER[0], "-m", "celery", "-A", "worker.app", "worker"]
    )
    with subprocess.Popen(
        arguments, env=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=Path(__file__).parents[2]
    ) as running:
        try:
            all_closed(store, running)
            running.send_signal(signal.SIGUSR1)  # Celery prints the stack of every thread
            running.terminate()
            output = running.communicate(timeout=END_S)[0]
        finally:
            running.kill()
    events = [json.loads(line)["event"] for line in output.splitlines()]
    assert any(event.startswith("worker ") and "calls in flight" in event for event in events)
    assert any("MainThread" in event for event in events)
    assert any("Warm shutdown" in event for event in events)


def test_a_failed_start_is_json_too(tmp_path: Path) -> None:
    """The reason for which a worker does not start is a line of its log."""
    blocked = tmp_path / "no-folder"
    blocked.touch()
    failed = run("worker", log_format="json", data_dir=blocked)
    assert failed.returncode == 2
    assert failed.stdout == ""
    last = json.loads(failed.stderr.splitlines()[-1])
    assert (last["level"], "CLOSER_DATA_DIR" in last["event"]) == ("critical", True)
