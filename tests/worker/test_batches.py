"""Entries that hold many events, or none, on a real store: each event is received or kept, whenever a worker dies."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from tasks.namespace import DEFAULT_NAMESPACE
from tests.support import STREAM, cloud_event, count, key_of
from tests.worker.test_stream import Doors, take_in
from worker.intake import stream as module

ROOT = Path(__file__).parents[2]
DYING = ("-m", "tests.worker.dying_intake")
BATCH = ['{"reference":"sg_0"}', '{"reference":"a b"}', cloud_event("sg_2", "e2"), "7", cloud_event("sg_4", type="x.y")]


@pytest.fixture
def doors(real: Redis) -> Doors:
    """An intake of an empty stream."""
    return Doors(real)


def kept(store: sync_redis.Redis) -> list[tuple[str, str]]:
    """The origins and bytes of the rejected events, oldest first."""
    entries: Any = store.xrange(key_of("rejected"))
    return [(fields[b"origin"].decode(), fields[b"event"].decode()) for _, fields in entries]


def batch(store: sync_redis.Redis) -> str:
    """Put a batch of good and bad events on the stream; its entry's id."""
    entry: Any = store.xadd(STREAM, {"event": f"[{','.join(BATCH)}]"})
    return str(entry.decode())


def expected(entry: str) -> list[tuple[str, str]]:
    """What must be kept of that batch."""
    return [(f"{entry}/{index}", BATCH[index]) for index in (1, 3, 4)]


async def test_each_event_of_an_array_is_received_or_kept(doors: Doors, store: sync_redis.Redis) -> None:
    """Each with an identity of its own; then the entry is gone."""
    entry = batch(store)
    await take_in(doors)
    record: Any = store.get(key_of("c:sg_0"))
    assert json.loads(record)["i"] == f"{entry}/0"
    assert count(store, "queued") == 2
    assert kept(store) == expected(entry)
    assert store.xlen(STREAM) == 0


@pytest.mark.parametrize("point", ["receive", "received", "reject", "rejected"])
async def test_a_worker_killed_at_any_point_loses_and_doubles_nothing(
    doors: Doors, store: sync_redis.Redis, store_url: str, point: str
) -> None:
    """SIGKILL before or after each of the two steps: the next worker does what is missing, and no more."""
    store.xgroup_create(STREAM, DEFAULT_NAMESPACE.group, id="0", mkstream=True)
    entry = batch(store)
    dead = await asyncio.create_subprocess_exec(sys.executable, *DYING, store_url, point, cwd=ROOT)
    assert await asyncio.wait_for(dead.wait(), 60) == -signal.SIGKILL
    assert store.xlen(STREAM) == 1
    assert count(store, "queued") == (0 if point == "receive" else 2)
    assert len(kept(store)) == (3 if point == "rejected" else 0)
    store.xclaim(STREAM, DEFAULT_NAMESPACE.group, "dead", 0, [entry], idle=module._ABANDONED_MS + 1)
    await doors.intake.step()
    assert count(store, "queued") == 2
    assert kept(store) == expected(entry)
    assert store.xlen(STREAM) == 0
    assert store.hgetall(key_of("waiting_types")) == {b"x.y": b"1"}


async def test_the_same_bytes_again_are_another_event(doors: Doors, store: sync_redis.Redis) -> None:
    """Who sends garbage twice has it kept once, with the count of both."""
    for _ in range(2):
        store.xadd(STREAM, {"event": b"garbage"})
    await take_in(doors)
    assert len(kept(store)) == 1
    times: Any = store.hvals(key_of("rejected_times"))
    assert times[0].startswith(b"2|")


async def test_many_large_batches_are_taken_in_by_portions(doors: Doors, store: sync_redis.Redis) -> None:
    """What is read at a time shrinks with the size of the entries; all events are received."""
    events = [cloud_event(f"sg_{number}", x="x" * 900) for number in range(1000)]
    for _ in range(20):
        store.xadd(STREAM, {"event": f"[{','.join(events)}]"})
    doors.intake._batch = 1
    await take_in(doors)
    assert doors.intake._batch < 20
    while store.xlen(STREAM):
        await doors.intake.step()
    assert count(store, "queued") == 1000
    assert kept(store) == []


@pytest.mark.parametrize("field", ["payload", "Data", "value"])
async def test_in_binary_mode_data_under_another_name_are_data(
    doors: Doors, store: sync_redis.Redis, field: str
) -> None:
    """The subject does not count then: the data may name another group. The reason names the field."""
    head: dict[Any, Any] = {"ce_specversion": "1.0", "ce_id": "1", "ce_source": "/w", "ce_type": "group.complete"}
    store.xadd(STREAM, head | {"ce_subject": "leeds-1", field: '{"reference":"sg_1"}'})
    await take_in(doors)
    assert count(store, "queued") == 0
    ((_, event),) = kept(store)
    assert json.loads(json.loads(event)["data"]) == {field: '{"reference":"sg_1"}'}
    entries: Any = store.xrange(key_of("rejected"))
    ((_, fields),) = entries
    assert f"the data hold the field {field};" in fields[b"problems"].decode()


async def test_binary_mode(doors: Doors, store: sync_redis.Redis) -> None:
    """A CloudEvent in fields of its own; a wrong one is kept as one JSON document, which can be replayed."""
    head: dict[Any, Any] = {"ce_specversion": "1.0", "ce_source": "/w", "ce_type": "group.complete"}
    store.xadd(STREAM, head | {"ce_id": "1", "data": '{"reference":"sg_1"}'})
    store.xadd(STREAM, head | {"ce_id": "2", "ce_subject": "sg_2"})
    wrong = head | {"ce_id": "3", "ce_subject": "leeds-1", "data": '{"groupReference":"sg_3"}'}
    store.xadd(STREAM, wrong)
    both: Any = store.xadd(STREAM, head | {"ce_id": "4", "ce_subject": "sg_4", "event": '{"reference":"sg_5"}'})
    await take_in(doors)
    assert store.zrange(key_of("queued"), 0, -1) == [b"sg_1", b"sg_2"]
    record: Any = store.get(key_of("c:sg_1"))
    assert [json.loads(record)[name] for name in "ei"] == ["/w", "1"]
    [(_, first), (origin, second)] = kept(store)
    assert json.loads(first) == {name.removeprefix("ce_"): value for name, value in wrong.items()}
    assert (origin, json.loads(second)["ce_id"]) == (both.decode(), "4")


async def test_an_entry_without_an_event_names_its_fields(doors: Doors, store: sync_redis.Redis) -> None:
    """Whoever reads the reason sees what was sent, and what is accepted."""
    store.xadd(STREAM, {"reference": "sg_1", "Type": "x"})
    await take_in(doors)
    entries: Any = store.xrange(key_of("rejected"))
    problem = json.loads(entries[0][1][b"problems"])[0]
    assert "the fields reference, Type" in problem
    assert "ce_source" in problem


async def test_types_are_counted_and_the_first_of_each_is_loud(
    doors: Doors, store: sync_redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """A line for each type that is not accepted, with what to do; the store knows which types came, how many wait."""
    store.xadd(STREAM, {"event": cloud_event("sg_1")})
    for number in range(3):
        store.xadd(STREAM, {"event": cloud_event("sg_2", str(number), type="trailer.dispatched")})
        store.xadd(STREAM, {"event": json.dumps({"reference": "sg_3", "eventType": "order.cancelled"})})
    await take_in(doors)
    assert store.hgetall(key_of("waiting_types")) == {b"trailer.dispatched": b"3", b"order.cancelled": b"3"}
    seen: Any = store.zrange(key_of("seen_types"), 0, -1)
    assert sorted(seen) == [b"group.complete", b"order.cancelled", b"trailer.dispatched"]
    assert count(store, "queued") == 1
    lines = [record.getMessage() for record in caplog.records if record.name == "closer.intake"]
    assert len(lines) == 2
    assert "CLOSER_EVENT_TYPES=group.complete,trailer.dispatched" in lines[0]
    assert "closer rejected replay --accept-type trailer.dispatched" in lines[0]


async def test_what_is_known_of_types_is_bounded(doors: Doors, store: sync_redis.Redis) -> None:
    """A sender that makes up types fills neither the store nor the memory nor the log; no event of his is lost."""
    events = [json.dumps({"reference": "sg_1", "event": f"x.y{number}"}) for number in range(999)]
    for _ in range(2):
        store.xadd(STREAM, {"event": f"[{','.join(events)}]"})
        events = [text.replace("x.y", "z.y") for text in events]
    await take_in(doors)
    assert len(kept(store)) == 2 * 999
    assert store.hlen(key_of("waiting_types")) == 101
    counts: Any = store.hgetall(key_of("waiting_types"))
    assert sum(map(int, counts.values())) == 2 * 999
    assert store.zcard(key_of("seen_types")) == 100
    assert len(doors.intake._watch._told_s) == 1000


@pytest.mark.parametrize("key", ["waiting_types", "seen_types", "rejected_once"])
async def test_a_key_that_holds_something_else_hinders_nothing(doors: Doors, store: sync_redis.Redis, key: str) -> None:
    """Events are received or kept all the same, whatever another program has written into the keys that count."""
    store.set(key_of(key), "x")
    entry = batch(store)
    await take_in(doors)
    assert count(store, "queued") == 2
    assert kept(store) == expected(entry)
    assert store.xlen(STREAM) == 0
