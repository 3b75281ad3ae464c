"""A rolling update and holds: a worker of an older release, which knows no holds, frees none."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.closure import State
from tasks.ledger.version import LEDGER_VERSION
from tests.end_to_end.fleet import SETTINGS, closures
from tests.faults.inside import planted
from tests.support import STREAM, Process, cloud_event, count, key_of, publish, run, until
from worker.simulator.server import Simulator, run_in_thread

GROUPS = [f"sg_{number:02}" for number in range(20)]
HELD = GROUPS[:10]
# A release whose scripts look into no hold and do not know the state `held`, and which knows no cancel events.
OLDER_RELEASE = """
import tasks.ledger.version as version
version.LEDGER_VERSION = 1
import tasks.ledger.scripts as scripts
real = scripts.pieces
def older(text):
    text = text.replace("local function is_held(ref)", "local function is_held(ref)\\n  if ref then return false end")
    return text.replace(", held = 'j' }", " }")
scripts.pieces = lambda name: [(file, older(text)) for file, text in real(name)]
from tasks.events.event_type import EventTypes
EventTypes.cancels = lambda self, event_type: False
"""


@pytest.fixture
def settings(store_url: str) -> Iterator[dict[str, Any]]:
    """Settings of a worker whose API answers."""
    with run_in_thread(Simulator()) as (url, _):
        yield {**SETTINGS, "redis_url": store_url, "api_base_url": url, "cancel_event_types": "group.cancelled"}


def older_release(folder: Path) -> AbstractContextManager[None]:
    """Processes started meanwhile are of the older release."""
    return planted(folder / "older", OLDER_RELEASE)


def older_worker(folder: Path, settings: dict[str, Any]) -> Process:
    """A worker of the older release."""
    with older_release(folder):
        return Process(folder, "worker", **settings)


@contextmanager
def both_releases(store: redis.Redis, folder: Path, settings: dict[str, Any]) -> Iterator[tuple[Process, Process]]:
    """A worker of the older release, and one of this that has started beside it."""
    with older_worker(folder, settings) as old:
        until(lambda: store.hlen(key_of("workers")) == 1, "the old one at work")
        with Process(folder, "worker", **settings) as new:
            until(lambda: store.hlen(key_of("workers")) == 2, "both at work")
            yield old, new


def test_an_older_worker_frees_no_hold(store: redis.Redis, tmp_path: Path, settings: dict[str, Any]) -> None:
    """While it is seen nothing can be held, and it is named; then it is refused, also where it only stood still."""
    with both_releases(store, tmp_path, settings) as (old, new):
        assert run("pause", "--why", "an update", **settings).returncode == 0
        publish(store, GROUPS)
        until(lambda: count(store, "queued") == len(GROUPS), "all queued")
        signs: Any = store.hgetall(key_of("workers"))
        [old_name] = [name for name, said in signs.items() if json.loads(said)["ledger_version"] == 1]
        refused = run("hold", *HELD, "--why", "test", **settings)
        assert (refused.returncode, old_name.decode() in refused.stderr, count(store, "held")) == (1, True, 0)

        old.process.send_signal(signal.SIGSTOP)
        store.hdel(key_of("workers"), old_name)  # a minute has passed
        assert run("hold", *HELD[:9], "--why", "test", **settings).returncode == 0
        store.xadd(STREAM, {"event": cloud_event(HELD[9], "x", type="group.cancelled")})
        until(lambda: count(store, "held") == len(HELD), "held")
        assert int(store.hget(key_of("policy"), "version") or 0) == LEDGER_VERSION
        old.process.send_signal(signal.SIGCONT)
        publish(store, HELD, prefix="again")
        assert old.process.wait(60) == 2, old.output
        with older_worker(tmp_path, settings) as again:
            assert again.process.wait(60) == 2, again.output
        assert run("resume", "--why", "updated", **settings).returncode == 0
        until(lambda: count(store, "closed") == len(GROUPS) - len(HELD), "the others closed")
        until(lambda: not store.xlen(STREAM), "all events taken in")
        assert new.stop() == 0
    found = closures(settings["redis_url"], GROUPS)
    assert {ref for ref, closure in found.items() if closure.state is State.HELD} == set(HELD)


def test_an_older_worker_refuses_cancel_events(store: redis.Redis, tmp_path: Path, settings: dict[str, Any]) -> None:
    """While it is seen a cancel event is kept as rejected with the reason; replayed later it holds the group."""
    with both_releases(store, tmp_path, settings) as (old, new):
        old.process.send_signal(signal.SIGSTOP)  # so that it does not read the event
        assert run("pause", "--why", "an update", **settings).returncode == 0
        publish(store, ["sg_1"])
        store.xadd(STREAM, {"event": cloud_event("sg_1", "x", type="group.cancelled")})
        until(lambda: store.xlen(key_of("rejected")), "rejected")
        assert count(store, "held") == 0
        old.process.send_signal(signal.SIGCONT)
        assert old.stop() == 0
        rejected: Any = store.xrange(key_of("rejected"))
        [(rejected_id, fields)] = rejected
        assert b"older release is alive" in fields[b"problems"]
        assert run("rejected", "replay", rejected_id.decode(), **settings).returncode == 0
        assert count(store, "held") == 1
        assert new.stop() == 0
