"""Cancel events with a real worker and its stream: what is cancelled last is not called, and what is late is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tasks.closure import State
from tests.end_to_end.fleet import SETTINGS, closures, own_store
from tests.support import STREAM, Process, cloud_event, count, key_of, run, until
from worker.simulator.server import Simulator, run_in_thread

GROUPS = [f"sg_{number:02}" for number in range(60)]


def event(reference: str, second: int, *, cancels: bool = False) -> str:
    """An event of this second, with an id of its own."""
    event_type, time = "group.cancelled" if cancels else "group.complete", f"2026-11-25T12:00:{second:02}Z"
    return cloud_event(reference, f"{second}", type=event_type, time=time)


def test_what_is_cancelled_last_is_not_called(tmp_path: Path) -> None:
    """Two thirds of the groups are cancelled, before or after their events; each is called once, when it may be."""
    with own_store(tmp_path / "store") as (url, store), run_in_thread(Simulator()) as (api_url, api):
        settings: dict[str, Any] = {
            **SETTINGS, "redis_url": url, "api_base_url": api_url, "cancel_event_types": "*.cancelled"
        }  # fmt: skip

        def send(*events: str) -> None:
            store.xadd(STREAM, {"event": "[" + ",".join(events) + "]"})

        after, before, closed = GROUPS[0::3], GROUPS[1::3], GROUPS[2::3]
        send(*(event(one, 2, cancels=True) for one in before))
        for start in range(0, len(after), 5):
            some = [*after[start : start + 5], *closed[start : start + 5]]
            late = [event(one, 2, cancels=True) for one in after[start : start + 5]]
            send(*(event(one, 1) for one in some), *late, *(event(one, 1) for one in before[start : start + 5]))
        with Process(tmp_path, "worker", **settings) as worker:
            until(lambda: count(store, "closed") == len(closed) and count(store, "held") == 40, worker.output)
            assert set(api.records()) == set(closed)
            send(*(event(one, 3, cancels=True) for one in closed[:2]))
            until(lambda: store.zcard(key_of("late")) == 2, worker.output)
            status = json.loads(run("status", "--json", **settings).stdout)
            assert (status["cancelled_too_late"], status["held_by_events"]) == (2, 40)
            send(*(event(one, 4) for one in after[:10]))
            until(lambda: count(store, "closed") == 30, worker.output)
            assert worker.stop() == 0
        with Process(tmp_path, "worker", **settings) as worker:
            released = run("release", "--state", "held", "--why", "complete", "--yes", **settings)
            assert released.returncode == 0
            until(lambda: count(store, "closed") == len(GROUPS), worker.output)
            assert worker.stop() == 0
        assert all(one.state is State.CLOSED for one in closures(url, GROUPS).values())
        assert "a cancel event came too late: the group sg_02 is closed at Sorted already" in log(tmp_path)
        assert all(group.calls == 1 for group in api.records().values())


def log(folder: Path) -> str:
    """What the workers logged."""
    return "".join(path.read_text() for path in folder.glob("*.log"))
