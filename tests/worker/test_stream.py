"""The intake from a stream, on a real store: nothing is dropped, nothing blocks the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import redis as sync_redis
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.events.event import Event
from tasks.events.event_type import EventTypes
from tasks.ledger.catalogue import Catalogue
from tasks.ledger.ledger import Ledger
from tasks.ledger.tally import Intake
from tasks.ledger.values import Received
from tasks.namespace import DEFAULT_NAMESPACE
from tests.support import STREAM, cloud_event, count, key_of
from worker.intake import stream as module
from worker.intake.entry import read as read_entry
from worker.intake.fleet_types import FleetTypes
from worker.intake.pump import Pump
from worker.intake.stream import StreamSource


class Doors:
    """An intake, and how often it said that there is something to dispatch."""

    def __init__(self, redis: Redis, ledger: Ledger | None = None) -> None:
        self.received = 0
        self.ledger = ledger or Ledger(redis)
        types = FleetTypes(self.ledger.policy, EventTypes())
        self.source = StreamSource(self.ledger.events, STREAM, types)
        self.intake = Pump(self.source, self.ledger, types, self._said)
        self.catalogue = Catalogue(redis)

    def _said(self) -> None:
        self.received += 1

    async def backlog(self) -> int:
        """Events on the stream that the ledger has not yet, as operators are told."""
        return (await self.catalogue.summary(STREAM)).backlog


@pytest.fixture
def doors(real: Redis) -> Doors:
    """An intake of an empty stream."""
    return Doors(real)


async def take_in(doors: Doors) -> None:
    """Make the group where there is none, then take in."""
    await doors.intake.step()
    await doors.intake.step()


async def test_events_from_before_the_first_worker(doors: Doors, store: sync_redis.Redis) -> None:
    """Events that came before anybody read are taken in, acknowledged and removed."""
    for number in range(3):
        store.xadd(STREAM, {"event": cloud_event(f"sg_{number}")})
    store.xadd(STREAM, {"event": b'{"reference":"bare"}', "more": "x"})
    assert await doors.backlog() == 4
    await take_in(doors)
    assert count(store, "queued") == 4
    assert await doors.backlog() == 0
    assert doors.received == 1
    pending: Any = store.xpending(STREAM, DEFAULT_NAMESPACE.group)
    assert pending["pending"] == 0


async def test_garbage(doors: Doors, store: sync_redis.Redis) -> None:
    """What is not an event is put aside with its bytes, reason and origin; the events beside it are taken in."""
    bodies = [b"\xff\x00garbage", b'{"reference":"a/b"}', b"x" * 70_000]
    ids = [store.xadd(STREAM, {"event": body}) for body in bodies]
    ids.append(store.xadd(STREAM, {"Event": "wrong name", b"\xff": b"\xfe"}))
    store.xadd(STREAM, {"event": cloud_event("sg_1")})
    await take_in(doors)
    assert count(store, "queued") == 1
    rejected: Any = store.xrange(key_of("rejected"))
    assert [fields[b"event"] for _, fields in rejected][:3] == bodies
    assert json.loads(rejected[3][1][b"event"]) == {"Event": "wrong name", "\\xff": "\\xfe"}
    assert [fields[b"origin"] for _, fields in rejected] == ids
    problems = [json.loads(fields[b"problems"])[0].partition(":")[0] for _, fields in rejected]
    assert problems == ["event", "reference", "event", "event"]
    assert store.xlen(STREAM) == 0


async def test_an_abandoned_entry(doors: Doors, store: sync_redis.Redis) -> None:
    """An entry that a dead worker had read is taken over, once it has been left for long enough."""
    store.xgroup_create(STREAM, DEFAULT_NAMESPACE.group, id="0", mkstream=True)
    entry = store.xadd(STREAM, {"event": cloud_event("sg_1")})
    store.xreadgroup(DEFAULT_NAMESPACE.group, "dead", {STREAM: ">"})
    await doors.intake.step()
    assert count(store, "queued") == 0
    store.xclaim(STREAM, DEFAULT_NAMESPACE.group, "dead", 0, [entry], idle=module._ABANDONED_MS + 1)
    doors.source._looked = float("-inf")
    await doors.intake.step()
    assert count(store, "queued") == 1
    assert store.xlen(STREAM) == 0


async def test_a_crash_before_the_acknowledgement(doors: Doors, store: sync_redis.Redis) -> None:
    """An entry received and not acknowledged is delivered again, and is a duplicate."""
    store.xgroup_create(STREAM, DEFAULT_NAMESPACE.group, id="0", mkstream=True)
    entry: Any = store.xadd(STREAM, {"event": b'{"reference":"sg_1"}'})
    read: Any = store.xreadgroup(DEFAULT_NAMESPACE.group, "dead", {STREAM: ">"})
    entries = read[0][1] if isinstance(read, list) else read[STREAM.encode()][0]
    [element] = read_entry(entry.decode(), entries[0][1], stream=STREAM, types=EventTypes())
    await doors.ledger.receive([element.event])  # type: ignore[list-item]
    store.xclaim(STREAM, DEFAULT_NAMESPACE.group, "dead", 0, [entry], idle=module._ABANDONED_MS + 1)
    await doors.intake.step()
    assert count(store, "queued") == 1
    record: Any = store.get(key_of("c:sg_1"))
    assert b'"v"' not in record
    assert store.xlen(STREAM) == 0


@pytest.mark.parametrize("break_it", ["flushall", "group"])
async def test_a_lost_group(doors: Doors, store: sync_redis.Redis, break_it: str) -> None:
    """A stream or group that somebody deletes is made again, and what comes afterwards is taken in."""
    await take_in(doors)
    if break_it == "flushall":
        store.flushall()
    else:
        store.xgroup_destroy(STREAM, DEFAULT_NAMESPACE.group)
    store.xadd(STREAM, {"event": cloud_event("sg_1")})
    await take_in(doors)
    assert count(store, "queued") == 1


async def test_two_intakes_make_one_group(doors: Doors, real: Redis, store: sync_redis.Redis) -> None:
    """Two workers that start at once both go on: one of them finds the group made."""
    other = Doors(real)
    await doors.ledger.events.create_group(STREAM)
    await other.ledger.events.create_group(STREAM)
    store.xadd(STREAM, {"event": cloud_event("sg_1")})
    await other.intake.step()
    await doors.intake.step()
    assert count(store, "queued") == 1


async def test_a_key_that_is_no_stream(doors: Doors, store: sync_redis.Redis) -> None:
    """If the stream's key holds something else, the error says so."""
    store.set(STREAM, "text")
    with pytest.raises(LedgerBroken, match="shared with another program"):
        await doors.intake.step()
    with pytest.raises(LedgerBroken, match="shared with another program"):
        await doors.backlog()
    with pytest.raises(LedgerBroken, match="shared with another program"):
        await doors.ledger.events.create_group(STREAM)


async def test_a_store_that_is_away() -> None:
    """Without a store a step raises StoreUnavailable, which says that the store does not answer."""
    nowhere = Doors(Redis(unix_socket_path="/nowhere/store.sock", retry=Retry(NoBackoff(), 0)))
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await nowhere.intake.step()


async def test_a_full_store_keeps_the_event(doors: Doors, store: sync_redis.Redis) -> None:
    """An event that the ledger cannot take stays on the stream, and is taken in when it can."""
    store.xgroup_create(STREAM, DEFAULT_NAMESPACE.group, id="0", mkstream=True)
    entry = store.xadd(STREAM, {"event": cloud_event("sg_1")})
    store.config_set("maxmemory", 1)
    try:
        with pytest.raises(StoreUnavailable):
            await doors.intake.step()
    finally:
        store.config_set("maxmemory", 0)
    assert store.xlen(STREAM) == 1
    store.xclaim(STREAM, DEFAULT_NAMESPACE.group, "x", 0, [entry], idle=module._ABANDONED_MS + 1, force=True)
    doors.source._looked = float("-inf")
    await doors.intake.step()
    assert count(store, "queued") == 1


class PoisonedLedger(Ledger):
    """A ledger whose script really fails for one group: what it is given of its event cannot be read."""

    async def receive(self, events: Sequence[Event], *, intake: Intake = Intake.STREAM) -> list[Received]:
        """Receive."""
        return await super().receive(
            [replace(event, event_id="\ud800") if event.reference == "poison" else event for event in events],
            intake=intake,
        )


async def test_an_event_that_breaks_the_ledger(
    real: Redis, store: sync_redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    """It is kept as rejected with its bytes, once, and told; all others are received, and the stream is empty."""
    doors = Doors(real, PoisonedLedger(real))
    events = [cloud_event(reference) for reference in ("sg_1", "sg_2", "poison", "sg_3")]
    store.xadd(STREAM, {"event": f"[{','.join(events)}]"})
    store.xadd(STREAM, {"event": cloud_event("sg_4")})
    await take_in(doors)
    assert [count(store, "queued"), store.xlen(STREAM), doors.received] == [4, 0, 1]
    kept: Any = store.xrange(key_of("rejected"))
    [(_, fields)] = kept
    assert fields[b"event"].decode() == events[2]
    assert b"it cannot be received" in fields[b"problems"]
    assert "cannot be received, and is kept as rejected" in caplog.text


async def test_events_wait_for_a_broken_ledger(doors: Doors, store: sync_redis.Redis) -> None:
    """While a key of the ledger holds something else events stay on the stream: none of them is to blame."""
    await doors.ledger.events.create_group(STREAM)
    store.xadd(STREAM, {"event": cloud_event("sg_1")})
    store.set(key_of("agenda"), "not ours")
    with pytest.raises(LedgerBroken, match=f"{key_of('agenda')} is a string"):
        await doors.intake.step()
    assert [store.xlen(STREAM), store.xlen(key_of("rejected"))] == [1, 0]
