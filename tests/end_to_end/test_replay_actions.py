"""A replay of many rejected events, with a real worker: whoever is killed in the middle, each group is closed once."""

from __future__ import annotations

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from tasks.events.event import Rejection
from tasks.ledger.ledger import Ledger
from tests.end_to_end.fleet import SETTINGS, own_store
from tests.support import Process, count, key_of, run, until
from worker.simulator.server import Simulator, run_in_thread

EVENTS = 3000


def reject(url: str) -> None:
    """Put events aside that could be received now."""

    async def work() -> None:
        async with Redis.from_url(url) as real:
            letters = Ledger(real).dead_letters
            for number in range(EVENTS):
                body = json.dumps({"reference": f"sg_{number}"}).encode()
                await letters.reject(body, Rejection(("a: b",)), f"{number + 1}-0")

    asyncio.run(work())


def test_a_replay_that_is_killed_ends(tmp_path: Path) -> None:
    """kill -9 of the command: a worker does the rest, each group is told to close once, and the audit counts each."""
    with own_store(tmp_path / "store") as (url, store), run_in_thread(Simulator()) as (api, simulator):
        settings: dict[str, Any] = {**SETTINGS, "redis_url": url, "api_base_url": api, "operator": "olga"}
        for number in range(EVENTS):
            simulator.groups.add(f"sg_{number}", "locked")
        reject(url)
        with Process(tmp_path, "rejected", "replay", "--problem", "a: b", "--yes", **settings) as command:
            until(lambda: store.xlen(key_of("rejected")) < EVENTS, "the first are received")
            command.stop(signal.SIGKILL)
        assert 0 < store.xlen(key_of("rejected")) < EVENTS
        with Process(tmp_path, "worker", **settings):
            until(lambda: store.xlen(key_of("rejected")) == 0, "the worker does the rest")
            until(lambda: count(store, "closed") == EVENTS, "all are closed")
            [action] = [json.loads(run("actions", "list", "--json", **settings).stdout)]
        assert (action["verb"], action["state"], action["changed"], action["left"]) == ("replay", "done", EVENTS, 0)
        [entry] = [json.loads(run("audit", "--json", **settings).stdout)]
        assert (entry["action"], entry["changed"]) == ("replay", EVENTS)
        assert {group.close_calls for group in simulator.groups.records().values()} == {1}
