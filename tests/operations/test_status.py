"""`closer status`, through the real console script."""

from __future__ import annotations

import json
from pathlib import Path

import redis

from tasks.closure import State
from tasks.events.event import GroupComplete
from tasks.ledger.ledger import Ledger
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import SEEDS
from tests.support import Process, key_of, until
from worker.simulator.server import Simulator, run_in_thread


def test_status_of_an_empty_store(cli: Cli) -> None:
    """All fields are there even if the store is empty."""
    status = cli.json("status")
    assert status["closures"] == dict.fromkeys(map(str, State), 0)
    assert (status["failed"], status["oldest_open_age_s"], status["backlog"], status["rejected"]) == ({}, None, 0, 0)
    assert status["workers"] == []
    nothing = dict.fromkeys(["reason", "since", "until", "by", "why"])
    assert status["gate"] == {"open": True, "reasons": []} | nothing
    assert status["suspended_keys"] == []


def test_status_counts_failures_by_reason_and_what_waits(cli: Cli, store: redis.Redis) -> None:
    """It counts closures, failures, backlog and rejected events, for programs and for people."""
    cli.sow(SEEDS)
    store.xadd(key_of("rejected"), {"event": "x", "problems": "[]", "origin": "1-0"})
    assert cli.json("publish", "sg_9") == {"published": 1, "stream": "shipment-groups.complete"}
    status = cli.json("status")
    assert (status["closures"]["failed"], status["closures"]["closed"]) == (2, 1)
    assert status["failed"] == {"gone": 1, "not_locked": 1}
    assert (status["backlog"], status["rejected"]) == (1, 1)
    lately = {"events_last_hour": 3, "attempts_last_hour": 3, "closed_last_hour": 1, "failures_last_hour": 2}
    assert status["rate"] == {"last_minute": 1, "last_hour": 1} | lately
    assert (status["due"], status["near_deadline"], status["oldest_open_clock_age_s"]) == (0, 0, None)
    assert status["headline"]["concern"] == "no_workers"
    text = cli.text("status")
    assert "closer list --reason not_locked" in text
    assert "1 rejected  (closer rejected list)" in text
    assert "No worker is alive. Start one." in text
    assert "3 events, 3 attempts, 2 failures" in text
    assert max(map(len, text.splitlines())) <= 80


def test_status_shows_what_nobody_takes(cli: Cli) -> None:
    """What is due, since when, and what is near its deadline."""

    async def forgotten(ledger: Ledger) -> None:
        await ledger.receive([GroupComplete("sg_1", "wms", "e1"), GroupComplete("sg_2", "wms", "e2")])
        old_ms = await ledger.catalogue.now_ms() - 200_000
        await ledger.redis.zadd(key_of("agenda"), {"sg_1": old_ms})
        record = json.loads(await ledger.redis.get(key_of("c:sg_1")) or "")
        await ledger.redis.set(key_of("c:sg_1"), json.dumps(record | {"d": old_ms}))

    at_ledger(cli.url, forgotten)
    status = cli.json("status")
    assert (status["due"], status["near_deadline"]) == (2, 1)
    assert 200 <= status["overdue_s"] < 400
    assert "2 now, the first for 3 min" in cli.text("status")
    assert "1 of the oldest near the deadline" in cli.text("status")


def test_status_shows_workers_that_live_and_those_that_fell_silent(
    cli: Cli, store: redis.Redis, tmp_path: Path
) -> None:
    """A real worker is listed while it lives; one that has given no sign for long is not taken for alive."""
    for name, ago_s in (("gone:1", 60), ("gone:2", -1800)):  # the second before the store's clock was set back
        store.hset(key_of("workers"), name, json.dumps({"at": (store.time()[0] - ago_s) * 1000, "in_flight": 3}))
    with run_in_thread(Simulator()) as (url, _), Process(tmp_path, "worker", redis_url=cli.url, api_base_url=url):
        until(lambda: cli.json("status")["workers"], "a worker's sign of life")
        status = cli.json("status")
    assert [worker["name"] for worker in status["silent_workers"]] == ["gone:1", "gone:2"]
    [alive] = status["workers"]
    assert alive["age_s"] < 20
    assert "SILENT" in cli.text("status")


def test_status_names_what_no_worker_wrote(cli: Cli, store: redis.Redis) -> None:
    """A foreign field of the workers' hash is named, with the command that removes it; the workers are shown."""
    store.hset(key_of("workers"), "host:1", json.dumps({"at": store.time()[0] * 1000, "settled": 1234}))
    for name, said in (("monitoring", "up"), (b"\xff\n", b"\xfe"), ("a b", '{"at":1,"in_flight":"x"}')):
        store.hset(key_of("workers"), name, said)
    status = cli.json("status")
    assert [worker["name"] for worker in status["workers"]] == ["host:1"]
    assert status["unreadable_workers"] == ["\\xff\n", "a b", "monitoring"]
    text = cli.text("status")
    assert "1,234 settled" in text
    assert "monitoring: not written by a worker" in text
    assert f"HDEL {key_of('workers')} 'a b'" in text


def test_status_watch_goes_on_until_it_is_interrupted(cli: Cli, tmp_path: Path) -> None:
    """In a pipe it prints one JSON document after the other."""
    with Process(tmp_path, "status", "--watch", "--json", redis_url=cli.url) as watching:
        until(lambda: watching.output.count("oldest_open_age_s") > 1, "two documents")
