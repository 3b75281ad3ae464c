"""The faults: each starts workers on a rig full of events, does its harm, and returns when the fault has ended."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from tests.faults.clock import wall_clock
from tests.faults.rig import Rig
from tests.support import cloud_event, run, until, url_of

Fault = Callable[[Rig], None]


def killed_workers(rig: Rig) -> None:
    """kill -9 of a worker, five times at random moments, a new one each time."""
    dice = random.Random(1)
    worker = rig.start_worker()
    for share in sorted(dice.uniform(0.05, 0.8) for _ in range(5)):
        rig.wait_closed(share)
        worker.stop(signal.SIGKILL)
        worker = rig.start_worker()


def rolling_restart(rig: Rig) -> None:
    """SIGTERM of two workers under load, one after the other, each replaced before."""
    old = [rig.start_worker(), rig.start_worker()]
    for share, worker in zip((0.2, 0.5), old, strict=True):
        rig.wait_closed(share)
        rig.start_worker()
        if worker.stop(signal.SIGTERM) != 0:
            raise AssertionError(f"a worker did not stop cleanly:\n{worker.output}")


def killed_store(rig: Rig) -> None:
    """kill -9 of the store, which comes back from its append-only file three seconds later."""
    rig.start_worker()
    rig.wait_closed(0.3)
    port = rig.server.port
    rig.server.terminate()
    time.sleep(3)
    rig.server._desired_port = port
    rig.server.start(timeout=30)


def frozen_store(rig: Rig) -> None:
    """The store is stopped (SIGSTOP) for 20 seconds."""
    rig.start_worker()
    rig.wait_closed(0.3)
    process = rig.server._process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    time.sleep(20)
    process.send_signal(signal.SIGCONT)


def full_store(rig: Rig) -> None:
    """The store answers OOM for five seconds (maxmemory, noeviction)."""
    rig.start_worker()
    rig.wait_closed(0.3)
    rig.store.config_set("maxmemory", 1)
    time.sleep(5)
    rig.store.config_set("maxmemory", 0)


def purged_queue(rig: Rig) -> None:
    """The Celery queue is purged by hand, three times."""
    rig.start_worker()
    for share in (0.1, 0.3, 0.5):
        rig.wait_closed(share)
        rig.store.delete("celery", "unacked", "unacked_index")


def doubled_messages(rig: Rig) -> None:
    """Every message, event and task, is there twice."""
    for reference in rig.references:
        rig.store.xadd("shipment-groups.complete", {"event": cloud_event(reference, f"e-{reference}")})
    rig.start_worker()
    until(lambda: _double_tasks(rig) or rig.closed() == rig.groups, "all closed", 120)


def _double_tasks(rig: Rig) -> bool:
    """Put every waiting task message in once more; always False: it goes on until all is closed."""
    for message in rig.store.lrange("celery", 0, -1):
        rig.store.lpush("celery", message)
    time.sleep(0.2)
    return False


def server_errors(rig: Rig) -> None:
    """The API answers 500 to everything for ten seconds."""
    _outage(rig, "500", 10)


def hanging_api(rig: Rig) -> None:
    """The API takes calls and never answers, for ten seconds."""
    _outage(rig, "hang", 10)


def unreachable_api(rig: Rig) -> None:
    """The API drops every connection for fifteen seconds."""
    _outage(rig, "refuse", 15)


def lost_replies(rig: Rig) -> None:
    """Three in ten closes take effect and their reply is lost."""
    rig.simulator.configure(faults={"cut_after": 0.3})
    rig.start_worker()
    rig.wait_closed(0.9)
    rig.simulator.configure(faults={"cut_after": 0.0})


def wrong_key(rig: Rig) -> None:
    """The key is wrong; after ten seconds the worker is started again with the right one."""
    worker = rig.start_worker(api_key="wrong")
    time.sleep(10)
    if rig.simulator.groups.summary()["close_calls"] > 60:
        raise AssertionError("more than 60 calls with a wrong key")
    worker.stop()
    rig.start_worker()
    run("resume", "--why", "the key is right now", "--by", "battery", redis_url=url_of(rig.server))


def skewed_clock(rig: Rig) -> None:
    """Two workers, one whose clock is an hour ahead of the store's and one an hour behind; replies are lost, too."""
    rig.simulator.configure(faults={"cut_after": 0.1})
    for offset_s in (3600, -3600):
        with wall_clock(rig.folder, offset_s):
            rig.start_worker()
    rig.wait_closed(0.9)


def _outage(rig: Rig, kind: str, seconds: float) -> None:
    rig.start_worker()
    rig.wait_closed(0.2)
    rig.simulator.configure(outage=kind)
    time.sleep(seconds)
    rig.simulator.configure(outage="none")
