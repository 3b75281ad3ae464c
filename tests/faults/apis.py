"""Faults of the API: it fails, hangs, cannot be reached, loses replies, refuses the key, or sets a limit."""

from __future__ import annotations

import signal
import time
from bisect import bisect_left
from datetime import timedelta

from tests.faults.rig import Rig
from tests.support import count, key_of, run, until

_KEY_CALLS = 60
_RATE, _WINDOW_S, _TOLERANCE = 100, 2.0, 1.15


def server_errors(rig: Rig) -> None:
    """The API answers 500 to everything for ten seconds."""
    _outage(rig, "500", 10)


def hanging_api(rig: Rig) -> None:
    """For ten seconds the API takes calls and never answers."""
    _outage(rig, "hang", 10)


def unreachable_api(rig: Rig, seconds: float = 15.0) -> None:
    """The API drops every connection for fifteen seconds."""
    _outage(rig, "refuse", seconds)


def lost_replies(rig: Rig) -> None:
    """Three in ten closes take effect, but their replies are lost."""
    rig.simulator.configure(faults={"cut_after": 0.3})
    rig.start_worker()
    rig.wait_closed(0.9)
    rig.simulator.configure(faults={"cut_after": 0.0})


def wrong_key(rig: Rig, seconds: float = 10.0) -> None:
    """The key is wrong. After ten seconds the worker is started with the right one, and an operator resumes."""
    worker = rig.start_worker(api_key="wrong")
    until(lambda: rig.store.hexists(key_of("gate"), "unauthorised"), "a shut gate")
    time.sleep(seconds)
    if rig.close_calls() > _KEY_CALLS:
        raise AssertionError(f"{rig.close_calls()} calls with a wrong key, more than {_KEY_CALLS}")
    if failed := count(rig.store, "failed"):
        raise AssertionError(f"{failed} groups failed for the wrong key")
    rig.stop_worker(worker, signal.SIGTERM)
    rig.start_worker()
    said = run("resume", "--why", "the key is right now", "--by", "battery", redis_url=rig.url)
    if said.returncode:
        raise AssertionError(said.stderr)


def one_refused_key(rig: Rig) -> None:
    """The API refuses the key of one of three workers. The others do all the work, and the gate stays open."""
    rig.start_worker(api_key="wrong")
    for _ in range(2):
        rig.start_worker()
    rig.wait_closed(1.0)
    if failed := count(rig.store, "failed"):
        raise AssertionError(f"{failed} groups failed for the wrong key")
    if rig.store.hexists(key_of("gate"), "unauthorised"):
        raise AssertionError("one refused key has shut the gate for all")


def rate_limit(rig: Rig) -> None:
    """Two workers run with a limit of a hundred calls a second for both."""
    for _ in range(2):
        rig.start_worker(rate_limit=_RATE)
    rig.wait_closed(1.0)
    times = rig.closing_times()
    most = max(bisect_left(times, at + timedelta(seconds=_WINDOW_S)) - index for index, at in enumerate(times))
    if most > _RATE * _WINDOW_S * _TOLERANCE:
        raise AssertionError(f"{most} groups were closed within {_WINDOW_S:g} s")


def _outage(rig: Rig, kind: str, seconds: float) -> None:
    rig.start_worker()
    rig.wait_closed(0.2)
    rig.simulator.configure(outage=kind)
    time.sleep(seconds)
    rig.simulator.configure(outage="none")
