"""Reads what the fleet's metrics and alerts show, at the same cost for the store whatever the ledger holds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from tasks.ledger.gate import Gate
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.measures import Measured
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.summary import Summary
from tasks.ledger.values import Unreadable
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.store.connect import unsafe

SILENT_S = 20.0  # a sign comes every 5 s, so four have been missed
FORGOTTEN_S = 3600.0  # heartbeat.lua forgets a worker after the same time


class Life(StrEnum):
    """How a worker is. WAITING: something keeps it from its work. REFUSED: the API refuses its key."""

    WORKING = "working"
    WAITING = "waiting"
    REFUSED = "refused"
    SILENT = "silent"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The fleet at one moment. `policy`: None before any worker has started. `safe`: None when that is not known."""

    summary: Summary
    measured: Measured
    policy: FleetPolicy | None
    safe: bool | None

    @property
    def workers(self) -> Counter[Life]:
        """How many workers of the last hour there are, by how they are."""
        return Counter(lives(self.summary.workers, self.summary.gate))

    @property
    def alive(self) -> int:
        """How many workers gave a sign of life lately."""
        workers = self.workers
        return workers.total() - workers[Life.SILENT]


async def take(context: OperatorContext) -> Snapshot:
    """Take a snapshot. Raises Refused, StoreUnavailable and LedgerBroken."""
    context.guard(Verb.STATUS)
    policy = await context.ledger.policy.read()
    stream = policy.stream if policy else context.settings.events_stream
    summary = await context.ledger.catalogue.summary(stream)
    measured = await context.ledger.measures.read(stream)
    told = await context.ledger.store_info()
    return Snapshot(summary, measured, policy, None if told is None else not unsafe(told))


def lives(workers: Sequence[Heartbeat | Unreadable], gate: Gate) -> list[Life]:
    """Return how each worker of the last hour is."""
    known = [worker for worker in workers if isinstance(worker, Heartbeat)]
    return [_life(worker, gate) for worker in known if age_s(gate.now_ms, worker) < FORGOTTEN_S]


def _life(worker: Heartbeat, gate: Gate) -> Life:
    if age_s(gate.now_ms, worker) > SILENT_S:
        return Life.SILENT
    if worker.trouble:
        return Life.WAITING
    return Life.REFUSED if worker.said.get("key") in {one.key for one in gate.suspended} else Life.WORKING


def age_s(now_ms: int, worker: Heartbeat) -> float:
    """Return how old a worker's sign is (s). One that seems to be of the future came before the clock was set back."""
    return abs(now_ms - worker.at_ms) / 1000
