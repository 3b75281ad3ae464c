"""The battery: every fault, what it may cost at most, and the result of a run."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from tests.faults import apis, poisons, stores, workers
from tests.faults.rig import DRAIN_S, Rig, rig

Fault = Callable[[Rig], None]


@dataclass(frozen=True, slots=True)
class Row:
    """A fault, the most calls a group and seconds to drain, and whether all events are there before it begins.

    The fault starts workers, does its harm, and returns when that is over; it raises AssertionError when a promise
    of its own does not hold.
    """

    name: str
    fault: Fault
    most_calls: float = 3.0
    most_drain_s: float = DRAIN_S
    full: bool = True


_outage = partial(Row, most_calls=2.0, most_drain_s=25.0)
BATTERY = [
    Row("kill -9 of a worker, 5 times", workers.killed_workers),
    Row("rolling restart, SIGTERM", workers.rolling_restart),
    Row("stopped twice, SIGKILL in shutdown", workers.impatient_stop),
    Row("kill -9 of the store", stores.killed_store),
    Row("kill -9 of the store, light load", stores.killed_store_light_load, full=False),
    Row("kill -9 of the store, 60 s away", stores.absent_store),
    Row("frozen store, 20 s", stores.frozen_store),
    Row("store out of memory, 5 s", stores.full_store),
    Row("store read-only, 5 s", stores.read_only_store),
    Row("store restarted, LOADING", stores.loading_store),
    Row("store's clock is set, 3 times", stores.set_clock),
    Row("purged queue, 3 times", stores.purged_queue),
    Row("agenda and indexes deleted", stores.lost_indexes),
    Row("doubled messages", stores.doubled_messages, most_calls=1.0),
    _outage("API answers 500, 10 s", apis.server_errors),
    _outage("API hangs, 10 s", apis.hanging_api),
    _outage("API unreachable, 15 s", apis.unreachable_api),
    Row("lost replies, 30 %", apis.lost_replies),
    Row("wrong key, then right", apis.wrong_key),
    Row("one of three keys refused", apis.one_refused_key),
    Row("rate limit 100/s, two workers", apis.rate_limit, most_calls=1.0),
    Row("clocks an hour apart", workers.skewed_clock),
    Row("clock jumps by an hour, 3 times", workers.jumping_clock),
    Row("poison: 20 attempts break", poisons.broken_attempts),
    Row("poison: 20 damaged records", poisons.damaged_records),
]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run came to; `wrong` is empty when everything is as it must be."""

    name: str
    groups: int
    lost: int
    false: int
    twice: int
    calls: float
    drain_s: float
    wrong: list[str]
    logs: str


def play(row: Row, groups: int) -> Result:
    """Run one row on a rig of its own."""
    with tempfile.TemporaryDirectory(prefix="faults-") as folder, rig(Path(folder), groups) as run:
        if row.full:
            run.publish()
        wrong = []
        try:
            row.fault(run)
        except AssertionError as error:
            wrong.append(str(error))
        drain_s, tally = run.drain(), run.tally()
        calls = tally.calls / groups
        limits = {
            f"{tally.lost} lost or stuck": tally.lost,
            f"{tally.false} reported closed that are not": tally.false,
            f"{tally.twice} closed twice": tally.twice,
            f"{calls:.2f} calls a group, more than {row.most_calls:g}": calls > row.most_calls,
            f"{drain_s:.1f} s to drain, more than {row.most_drain_s:g}": drain_s > row.most_drain_s,
            f"{len(run.deserters())} workers ended by themselves": run.deserters(),
        }
        wrong += [words for words, holds in limits.items() if holds]
        logs = "\n".join(worker.output[-3000:] for worker in run.workers) if wrong else ""
        return Result(row.name, groups, tally.lost, tally.false, tally.twice, calls, drain_s, wrong, logs)
