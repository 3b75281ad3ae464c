"""What a release before namespaces, and programs that know of none, have left in the store is taken over."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import redis
from celery import Celery
from redis.asyncio import Redis

from tasks.api.address import api_address
from tasks.events.event import GroupComplete
from tasks.ledger.ledger import Ledger
from tests.console import called
from tests.support import STREAM, Process, key_of, publish, run, until, until_soon
from tests.tasks.cut import way_that_ends
from worker.simulator.server import Simulator, run_in_thread

OLD = "closer:"
SEAL = [b"closer:audit", b"closer:open", b"closer:policy"]  # what stops an older release


@pytest.fixture
def api_url() -> Iterator[str]:
    """The address of a simulated API that closes what it is asked to."""
    with run_in_thread(Simulator()) as (url, _):
        yield url


def closed(store: redis.Redis, namespace: str = "closer") -> int:
    """How many groups a fleet has closed."""
    return int(store.zcard(key_of("closed", namespace)))


@pytest.mark.long
def test_messages_of_programs_without_a_prefix(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """The first fleet takes task messages from the plain queue `celery`, too; another fleet leaves them alone."""
    with run_in_thread(Simulator()) as (url, api), run_in_thread(Simulator()) as (north_url, north):
        program = Celery("stranger", broker=store_url, set_as_current=False)
        program.send_task("tasks.close_groups", [["sg_1"]])
        program.close()
        both: dict[str, Any] = {"redis_url": store_url}
        with Process(tmp_path, "worker", **both, api_base_url=north_url, namespace="north") as other:
            until(lambda: store.hlen(key_of("workers", "north")), other.output)
            prefixed = Celery("stranger", broker=store_url, set_as_current=False)
            prefixed.conf.broker_transport_options = {"global_keyprefix": "{north}:"}
            prefixed.send_task("tasks.close_groups", [["sg_2"]])
            prefixed.close()
            until(lambda: closed(store, "north") == 1, other.output)
            assert store.llen("celery") == 1
            with Process(tmp_path, "worker", **both, api_base_url=url) as worker:
                until(lambda: closed(store) == 1, worker.output)
                assert (worker.stop(), other.stop()) == (0, 0)
        assert (list(api.records()), list(north.records())) == (["sg_1"], ["sg_2"])
    assert not store.exists("celery", "unacked", "{closer}:unacked")


def make_old(store: redis.Redis, *, seen_s: float) -> None:
    """Give a ledger the keys of a release before namespaces, whose worker was last seen so long ago."""
    store.delete(key_of("tally"), key_of("marks"))  # older releases counted nothing
    keys: Any = store.keys(key_of("*"))
    for key in (key for key in keys if b"_kombu" not in key):
        store.rename(key, OLD.encode() + key.removeprefix(key_of("").encode()))
    at_ms = (time.time() - seen_s) * 1000
    store.hset(OLD + "workers", "old:1", json.dumps({"at": at_ms, "in_flight": 0, "waiting": 0, "settled": 0}))


def paused_ledger(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A ledger with one group closed, and one queued while the fleet is paused."""
    api = run_in_thread(Simulator())
    with api as (url, _), Process(tmp_path, "worker", redis_url=store_url, api_base_url=url) as worker:
        publish(store, ["sg_closed"])
        until(lambda: closed(store) == 1, worker.output)
        assert called("pause", "--why", "upgrade", redis_url=store_url).returncode == 0
        publish(store, ["sg_queued"])
        until(lambda: store.zcard(key_of("queued")) == 1, worker.output)
        assert worker.stop() == 0


def test_an_earlier_ledger_is_moved(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A worker takes over the ledger of an earlier release: closures, pause, audit, and messages that were in hand."""
    paused_ledger(store, store_url, tmp_path)
    make_old(store, seen_s=120)
    body = json.dumps([[["sg_message"]], {}, {}])
    info = {"exchange": "", "routing_key": "celery"}
    message = {"body": body, "content-type": "application/json", "content-encoding": "utf-8",
               "headers": {"task": "tasks.close_groups", "id": "1", "lang": "py"},
               "properties": {"delivery_tag": "t", "delivery_info": info}}  # fmt: skip
    store.hset("unacked", mapping={"t": json.dumps([message, "", "celery"]), "x": json.dumps([{}, "", "other"])})
    store.zadd("unacked_index", {"t": 1, "x": 1})
    with run_in_thread(Simulator()) as (url, api):
        settings: dict[str, Any] = {"redis_url": store_url, "api_base_url": url}
        check = " ".join(run("check", **settings).stdout.split())
        assert "older release" in check
        store.hset(OLD + "policy", "api", url)  # the simulated API has another port now
        with Process(tmp_path, "worker", **settings) as worker:
            until(lambda: store.hlen(key_of("workers")), worker.output)
            assert json.loads(called("status", "--json", **settings).stdout)["gate"]["reason"] == "paused"
            assert called("resume", "--why", "upgraded", **settings).returncode == 0
            until(lambda: closed(store) == 3, worker.output)
            assert worker.stop() == 0
        assert "upgrade" in called("audit", **settings).stdout
        assert {"sg_message", "sg_queued"} == {name for name, group in api.records().items() if group.state == "closed"}
    assert "the ledger of an older release was moved to the keys {closer}:* (2 records)" in worker.output
    assert sorted(store.keys(OLD + "*")) == SEAL
    assert store.hkeys("unacked") == [b"x"]


def test_an_earlier_worker_is_alive(store: redis.Redis, store_url: str, api_url: str, tmp_path: Path) -> None:
    """While a worker of an earlier release lives a new one ends with exit code 2 and names it; nothing is taken."""
    now_ms = time.time() * 1000
    store.zadd(OLD + "closed", {"sg_1": now_ms})
    store.hset(OLD + "workers", "old:1", json.dumps({"at": now_ms}))
    publish(store, ["sg_2"])
    with Process(tmp_path, "worker", redis_url=store_url, api_base_url=api_url) as worker:
        assert worker.process.wait(60) == 2, worker.output
    assert "its worker old:1 gave a sign of life in the last minute" in worker.output
    assert (store.zcard(OLD + "closed"), closed(store), store.xlen(STREAM)) == (1, 0, 1)


def test_two_ledgers(store: redis.Redis, store_url: str, api_url: str, tmp_path: Path) -> None:
    """Where both prefixes hold a ledger the worker ends with exit code 2 and says so; nothing is changed."""
    for name in ("closed", "agenda"):
        store.zadd(OLD + name, {"sg_1": 1})
        store.zadd(key_of(name), {"sg_2": 1})
    with Process(tmp_path, "worker", redis_url=store_url, api_base_url=api_url) as worker:
        assert worker.process.wait(60) == 2, worker.output
    assert "this store holds two ledgers" in worker.output
    assert [store.zrange(key, 0, -1) for key in (OLD + "agenda", key_of("agenda"))] == [[b"sg_1"], [b"sg_2"]]


@pytest.mark.long
def test_an_old_worker_that_comes_back(store: redis.Redis, store_url: str, api_url: str, tmp_path: Path) -> None:
    """A running worker tells, once in a while, that an older release has begun a ledger of its own, and goes on."""
    with Process(tmp_path, "worker", redis_url=store_url, api_base_url=api_url) as worker:
        until(lambda: store.hlen(key_of("workers")), "the worker's first sign of life")
        store.zadd(OLD + "agenda", {"sg_1": 1})
        store.hset(OLD + "workers", "old:17", json.dumps({"at": time.time() * 1000}))
        until(lambda: "a worker of an older release is alive (process 17 on old)" in worker.output, "the warning")
        publish(store, ["sg_2"])
        until(lambda: closed(store) == 1, "the group closed")
        assert worker.stop() == 0


def after_renaming_some(commands: list[bytes]) -> bool:
    """Some records are moved, and no other key."""
    return commands.count(b"RENAMENX") == 3


def after_the_last_step(commands: list[bytes]) -> bool:
    """All is moved, and the worker has not heard of it."""
    return b"RENAME" in commands and commands[-1] == b"EXEC"


@pytest.mark.long
@pytest.mark.parametrize("when", [after_renaming_some, after_the_last_step])
async def test_a_worker_that_is_killed_while_it_moves(
    store: redis.Redis, real: Redis, store_url: str, tmp_path: Path, when: Callable[[list[bytes]], bool]
) -> None:
    """A worker killed with -9 in the middle of the move leaves the rest to the next: each group is closed once."""
    groups = {f"sg_{number}" for number in range(20)}
    commands: list[bytes] = []

    def last(command: list[bytes]) -> bool:
        commands.append(command[0])
        return when(commands)

    with run_in_thread(Simulator()) as (api_url, api):
        await Ledger(real, api=api_address(api_url)).policy.hold_api()
        await Ledger(real).receive([GroupComplete(group, "wms", group) for group in sorted(groups)])
        make_old(store, seen_s=120)
        async with way_that_ends(int(urlsplit(store_url).port or 0), last) as (way_url, way):
            with Process(tmp_path, "worker", redis_url=way_url, api_base_url=api_url) as killed:
                await until_soon(lambda: way.ended)
                assert killed.stop(signal.SIGKILL) == -signal.SIGKILL
        assert api.records() == {}
        with Process(tmp_path, "worker", redis_url=store_url, api_base_url=api_url) as worker:
            await asyncio.to_thread(until, lambda: closed(store) == len(groups), "all groups closed")
            assert await asyncio.to_thread(worker.stop) == 0
        assert {reference: group.close_calls for reference, group in api.records().items()} == dict.fromkeys(groups, 1)
    assert sorted(store.keys(OLD + "*")) == SEAL
