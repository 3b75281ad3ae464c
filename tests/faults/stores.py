"""Faults of the store, which is killed, frozen, full, read-only or loading; and of the messages in it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from threading import Thread
from typing import Any

import psutil
import redis
from redis.asyncio import Redis as AsyncRedis

from tasks.ledger.ledger import Ledger
from tests.faults.inside import Clock
from tests.faults.rig import DRAIN_S, Rig
from tests.support import STREAM, Process, cloud_event, key_of, until

_TRICKLE_S = 10.0
_HOUR_S, _GAP_S = 3600, 5.0
_IDLE_SHARE, _FEW_LINES = 0.2, 40
QUEUE, UNACKED = key_of("celery"), key_of("unacked")
BROKER_KEYS = (QUEUE, UNACKED, key_of("unacked_index"))


def killed_store(rig: Rig, away_s: float = 3.0) -> None:
    """The store is killed with kill -9. Three seconds later it comes back from its append-only file."""
    rig.start_worker()
    rig.wait_closed(0.3)
    rig.kill_store()
    time.sleep(away_s)
    rig.start_store()


def absent_store(rig: Rig, away_s: float = 60.0) -> None:
    """The store is killed under load and is away for a minute. The worker waits for it, idle and nearly silent."""
    worker = rig.start_worker()
    rig.wait_closed(0.3)
    rig.kill_store()
    before, busy_s = len(worker.output), _cpu_s(worker)
    time.sleep(away_s)
    said, busy_s = worker.output[before:], _cpu_s(worker) - busy_s
    rig.start_store()
    lines = sum("closure.unwritten" not in line for line in said.splitlines())  # each result that waits has one
    print(f"  {busy_s / away_s:.1%} of a core and {lines} lines while the store was away", file=sys.stderr)
    if busy_s > _IDLE_SHARE * away_s:
        raise AssertionError(f"the worker used {busy_s / away_s:.0%} of a core while there was nothing to do")
    if lines > _FEW_LINES:
        raise AssertionError(f"the worker wrote {lines} lines while the store was away")


def _cpu_s(worker: Process) -> float:
    """Seconds of CPU that the process has used so far; it is one process, of threads."""
    used = psutil.Process(worker.process.pid).cpu_times()
    return float(used.user + used.system)


def killed_store_light_load(rig: Rig) -> None:
    """The same is done while events come steadily and the worker is partly busy, where Celery consumers have died."""
    rig.start_worker()
    with _trickle(rig):
        rig.wait_closed(0.3)
        rig.kill_store()
        time.sleep(3)
        rig.start_store()


def frozen_store(rig: Rig, seconds: float = 20.0) -> None:
    """The store is stopped (SIGSTOP) for 20 seconds."""
    rig.start_worker()
    rig.wait_closed(0.3)
    process = rig.server._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(seconds)
    process.send_signal(signal.SIGCONT)


def full_store(rig: Rig) -> None:
    """The store answers OOM for five seconds (maxmemory, noeviction)."""
    rig.start_worker()
    rig.wait_closed(0.3)
    rig.store.config_set("maxmemory", 1)
    time.sleep(5)
    rig.store.config_set("maxmemory", 0)


def read_only_store(rig: Rig) -> None:
    """The store is a read-only replica for five seconds, as in a failover."""
    rig.start_worker()
    rig.wait_closed(0.3)
    rig.store.config_set("repl-diskless-sync-delay", 0)
    rig.store.replicaof("127.0.0.1", "1")  # nobody is there, so it keeps its data
    time.sleep(5)
    rig.store.replicaof("NO", "ONE")


def set_clock(rig: Rig) -> None:
    """The store's own clock is set an hour ahead under load, two hours back, then right. Newcomers look first."""
    rig.simulator.configure(faults={"latency_s": 0.1, "error_500": 0.1, "throttle_429": 0.1})
    clock = Clock(rig.folder)
    rig.kill_store()
    with clock.preloaded():
        rig.start_store()
    rig.start_worker(concurrency=8, retry_deadline=600)
    for share, offset_s in zip((0.1, 0.4, 0.7), (_HOUR_S, -_HOUR_S, 0), strict=True):
        rig.wait_closed(share)
        if rig.store.zcard(key_of("retrying")) == 0:
            raise AssertionError("nothing waits for its retry as the clock is set: this row has proved nothing")
        before = _time_s(rig)
        clock.set(offset_s)
        asyncio.run(_newcomer(rig))
        if abs(_time_s(rig) - before) < _HOUR_S / 2:
            raise AssertionError("the store does not go by that clock: this row has proved nothing")
    rig.wait_closed(1.0)
    if (gap_s := rig.longest_gap_s()) > _GAP_S:
        raise AssertionError(f"no group was closed for {gap_s:.1f} s")
    if lost := [ref for ref in rig.references if any(attempt.verdict == "lost" for attempt in rig.history(ref))]:
        raise AssertionError(f"{len(lost)} leases were lost, the first of {lost[0]}")


async def _newcomer(rig: Rig) -> None:
    """A process that has never looked at the store's clock, and does so now."""
    async with AsyncRedis.from_url(rig.url) as client:
        await Ledger(client).gate.start_slowly()


def _time_s(rig: Rig) -> int:
    reply: Any = rig.store.time()
    return int(reply[0])


def loading_store(rig: Rig) -> None:
    """The store is restarted and answers LOADING for some seconds."""
    rig.start_worker()
    rig.wait_closed(0.5)
    rig.kill_store()
    loading = Thread(target=rig.start_store, kwargs={"key-load-delay": 300})
    loading.start()
    until(lambda: _refuses(rig, redis.BusyLoadingError), "a store that says LOADING", 20)
    loading.join(60)
    rig.store.config_set("key-load-delay", 0)


def purged_queue(rig: Rig, shares: tuple[float, ...] = (0.1, 0.3, 0.5)) -> None:
    """The Celery queue is purged by hand while messages wait in it or at dead workers. The ledger sends them again."""
    for number, share in enumerate(shares):
        worker = rig.start_worker(concurrency=8)
        rig.wait_closed(share)
        until(lambda: rig.store.hlen(UNACKED), "messages in hand")
        rig.stop_worker(worker, signal.SIGTERM if number % 2 else signal.SIGKILL)
        if not rig.store.delete(*BROKER_KEYS):
            raise AssertionError("there was nothing to purge: this row has proved nothing")
    rig.start_worker()


def lost_indexes(rig: Rig) -> None:
    """The agenda, and then every index of the ledger, is deleted under load. closer rebuilds them from the records."""
    rig.start_worker()
    rig.wait_closed(0.2)
    rig.store.delete(key_of("agenda"))
    rig.wait_closed(0.5)
    for index in ("agenda", "queued", "closing", "retrying", "closed", "open", "dispatched"):
        rig.store.delete(key_of(index))


def doubled_messages(rig: Rig) -> None:
    """Every event comes twice, and every task message that is seen is sent once more."""
    for reference in rig.references:
        rig.store.xadd(STREAM, {"event": cloud_event(reference, f"e-{reference}")})
    rig.start_worker(concurrency=8)
    doubled: set[bytes] = set()
    until(lambda: _double_tasks(rig, doubled) or rig.closed() == rig.groups, "all closed", DRAIN_S)
    if not doubled:
        raise AssertionError("no task message was there to be doubled: this row has proved nothing")


def _double_tasks(rig: Rig, doubled: set[bytes]) -> bool:
    """Double the messages that a worker has in hand; always False: it goes on until all is closed."""
    in_hand: Any = rig.store.hgetall(UNACKED)
    for tag, kept in in_hand.items():
        if tag not in doubled:
            rig.store.lpush(QUEUE, json.dumps(json.loads(kept)[0]))
            doubled.add(tag)
    return False


@contextmanager
def _trickle(rig: Rig) -> Iterator[None]:
    """Meanwhile events come, one by one; their source sends each until the store has taken it. Waits for the last."""
    source = Thread(target=_publish_slowly, args=(rig,))
    source.start()
    yield
    source.join(DRAIN_S)


def _publish_slowly(rig: Rig) -> None:
    for reference in rig.references:
        until(partial(_sent, rig, reference), "an event taken", DRAIN_S)
        time.sleep(_TRICKLE_S / rig.groups)


def _sent(rig: Rig, reference: str) -> bool:
    try:
        rig.publish([reference])
    except (redis.RedisError, OSError):
        return False
    return True


def _refuses(rig: Rig, error: type[redis.RedisError]) -> bool:
    try:
        rig.store.get("x")
    except error:
        return True
    except (redis.RedisError, OSError):
        return False
    return False
