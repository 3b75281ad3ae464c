"""Two fleets share one store; each closes its own groups, at its own account."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.namespace import Namespace
from tests.console import called
from tests.end_to_end.fleet import SETTINGS, own_store
from tests.support import Process, cloud_event, run, until
from worker.simulator.server import Simulator, run_in_thread

FLEETS = (Namespace(), Namespace("north"))


def groups_of(fleet: Namespace) -> list[str]:
    """The groups of a fleet."""
    return [f"sg_{fleet.name}_{number}" for number in range(20)]


def wait_closed(store: redis.Redis, fleet: Namespace) -> None:
    """Returns when all its groups are closed."""
    until(lambda: store.zcard(f"{fleet.prefix}closed") == 20, f"the groups of {fleet.name} closed")


def keys(store: redis.Redis) -> list[str]:
    """All keys in the store."""
    return [key.decode() for key in store.scan_iter(count=1000)]


def test_two_fleets_in_one_store(tmp_path: Path) -> None:
    """They see neither each other's events, closures and messages, nor each other's gate and audit."""
    with own_store(tmp_path / "store") as (url, store), ExitStack() as running:
        accounts, settings = {}, {}
        for fleet in FLEETS:
            api, accounts[fleet] = running.enter_context(run_in_thread(Simulator()))
            told: dict[str, Any] = {**SETTINGS, "redis_url": url, "api_base_url": api, "namespace": fleet.name}
            settings[fleet] = told
            running.enter_context(Process(tmp_path, "worker", **told))
            for group in groups_of(fleet):
                store.xadd(fleet.stream, {"event": cloud_event(group)})
        for fleet in FLEETS:
            wait_closed(store, fleet)
            assert {ref for ref, record in accounts[fleet].records().items() if record.close_calls} == {
                *groups_of(fleet)
            }
        default, north = FLEETS
        assert called("pause", "--why", "north only", **settings[north]).returncode == 0
        assert store.hexists(f"{north.prefix}gate", "paused")
        assert not store.hexists(f"{default.prefix}gate", "paused")
        assert not store.xlen(f"{default.prefix}audit")
        assert {key for key in keys(store) if not key.startswith(tuple(fleet.prefix for fleet in FLEETS))} <= {
            default.stream
        }


@pytest.mark.parametrize("theirs", ["closer", "closer:south"])
def test_a_stream_of_another_fleet(theirs: str, tmp_path: Path) -> None:
    """A worker ends with 2 and names the other's group; nothing is taken."""
    with own_store(tmp_path / "store") as (url, store):
        store.xgroup_create("events", theirs, mkstream=True)
        store.xadd("events", {"event": cloud_event("sg_1")})
        ended = run("worker", redis_url=url, namespace="north", events_stream="events")
        assert ended.returncode == 2, ended.stderr
        assert f"XGROUP DESTROY events {theirs}" in ended.stderr
        assert store.xlen("events") == 1
        checked = run("check", redis_url=url, namespace="north", events_stream="events")
        assert f"its consumer group is {theirs}" in " ".join(checked.stdout.split())
