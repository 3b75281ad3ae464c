"""Faults of workers: they are killed, restarted or stopped twice, or their clocks are wrong or jump."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

from tests.faults.inside import Clock, wall_clock
from tests.faults.rig import Rig
from tests.support import count, key_of, until

_KILLS = 5
_GAP_S = 5.0
_JUMP_S, _DEADLINE_S = 3600, 600
# So few calls at a time that the load lasts for as long as the fault.
_SLOW = {"concurrency": 8}


def killed_workers(rig: Rig) -> None:
    """A worker is killed with kill -9 five times, at random moments. A new one is started each time."""
    dice = random.Random(1)
    worker = rig.start_worker(**_SLOW)
    for share in sorted(dice.uniform(0.02, 0.8) for _ in range(_KILLS)):
        rig.wait_closed(share)
        time.sleep(dice.uniform(0, 0.1))
        rig.stop_worker(worker, signal.SIGKILL)
        worker = rig.start_worker(**_SLOW)


def killed_once(rig: Rig) -> None:
    """Kill a worker that has calls in flight with kill -9. Another worker takes over."""
    worker = rig.start_worker(**_SLOW)
    rig.wait_closed(0.2)
    until(lambda: count(rig.store, "closing"), "calls in flight")
    rig.stop_worker(worker, signal.SIGKILL)
    rig.start_worker()


def rolling_restart(rig: Rig) -> None:
    """Two workers get SIGTERM under load, one after the other. Each is replaced first."""
    rig.simulator.configure(faults={"latency_s": 0.1})
    old = [rig.start_worker(**_SLOW), rig.start_worker(**_SLOW)]
    for share, worker in zip((0.15, 0.4), old, strict=True):
        rig.wait_closed(share)
        rig.start_worker(**_SLOW)
        if rig.stop_worker(worker, signal.SIGTERM) != 0:
            raise AssertionError(f"a worker did not stop cleanly:\n{worker.output}")
    rig.wait_closed(1.0)
    if (gap_s := rig.longest_gap_s()) > _GAP_S:
        raise AssertionError(f"no group was closed for {gap_s:.1f} s")


def impatient_stop(rig: Rig) -> None:
    """One worker gets SIGTERM twice while it ends its calls, one SIGINT twice, one SIGTERM and then SIGKILL."""
    rig.simulator.configure(faults={"latency_s": 0.4})
    pairs = (
        (signal.SIGTERM, signal.SIGTERM),
        (signal.SIGINT, signal.SIGINT),
        (signal.SIGTERM, signal.SIGKILL),
    )
    for first, second in pairs:
        before = rig.closed()
        worker = rig.start_worker(concurrency=20)
        until(partial(_closed_more, rig, before), "a worker at work")  # earlier it may not hear signals yet
        worker.process.send_signal(first)
        time.sleep(0.15)
        rig.stop_worker(worker, second)
    rig.start_worker()


def _closed_more(rig: Rig, before: int) -> bool:
    return rig.closed() > before


def skewed_clock(rig: Rig) -> None:
    """Of two workers one has a clock an hour ahead of the store's and one an hour behind. Replies are lost, too."""
    rig.simulator.configure(faults={"cut_after": 0.1})
    for offset_s in (3600, -3600):
        with wall_clock(rig.folder, offset_s):
            rig.start_worker()
    rig.wait_closed(0.9)


def jumping_clock(rig: Rig) -> None:
    """Under load a worker's clock jumps an hour ahead, then two hours back, then to the right time."""
    rig.simulator.configure(faults={"latency_s": 0.1, "error_500": 0.1, "throttle_429": 0.1})
    clock = Clock(rig.folder)
    with clock.worn():
        rig.start_worker(**_SLOW, retry_deadline=_DEADLINE_S)
    for share, offset_s in zip((0.1, 0.4, 0.7), (_JUMP_S, -_JUMP_S, 0), strict=True):
        rig.wait_closed(share)
        if rig.store.zcard(key_of("retrying")) == 0:
            raise AssertionError("nothing waits for its retry as the clock jumps: this row has proved nothing")
        clock.set(offset_s)
    rig.wait_closed(1.0)
    if early := rig.early_attempts():
        raise AssertionError(f"{len(early)} attempts came too early, the first: {early[0]}")
    if (gap_s := rig.longest_gap_s()) > _GAP_S:
        raise AssertionError(f"no group was closed for {gap_s:.1f} s")
