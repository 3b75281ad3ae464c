"""Other programs' consumer groups on the stream: each gets every event, and nothing is kept longer than that."""

from __future__ import annotations

import random
from typing import Any

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from tasks.namespace import DEFAULT_NAMESPACE
from tests.support import STREAM, cloud_event, count, key_of
from tests.worker.test_stream import Doors, take_in
from worker.intake import stream as module

OTHER = "billing"


@pytest.fixture
async def doors(real: Redis, monkeypatch: pytest.MonkeyPatch) -> Doors:
    """An intake that looks at each step for what other groups no longer need; its group is made."""
    monkeypatch.setattr(module, "_TRIM_S", 0.0)
    monkeypatch.setattr(module, "_BLOCK_MS", 1)
    doors = Doors(real)
    await doors.intake.step()
    return doors


def add(store: sync_redis.Redis, number: int, first: int = 0) -> list[Any]:
    """Put events on the stream; their ids."""
    names = range(first, first + number)
    return [store.xadd(STREAM, {"event": cloud_event(f"sg_{name}", f"e{name}")}) for name in names]


def read(store: sync_redis.Redis, group: str = OTHER, most: int = 1000, *, ack: bool = True) -> list[bytes]:
    """What a group is given; acknowledged unless said otherwise."""
    reply: Any = store.xreadgroup(group, "one", {STREAM: ">"}, count=most)
    pages = reply.values() if isinstance(reply, dict) else [entries for _, entries in reply or []]
    entries = [entry for page in pages for entry in (page[0] if page and isinstance(page[0], list) else page)]
    ids = [entry_id for entry_id, _ in entries]
    if ids and ack:
        store.xack(STREAM, group, *ids)
    return ids


@pytest.mark.parametrize("start", ["0", "$"])
async def test_the_other_group_gets_every_event(doors: Doors, store: sync_redis.Redis, start: str) -> None:
    """Entries stay until the other group has acknowledged them, and are gone then; the backlog is our own."""
    store.xgroup_create(STREAM, OTHER, id=start)
    ids = add(store, 20)
    assert await doors.backlog() == 20
    await doors.intake.step()
    assert count(store, "queued") == 20
    assert (await doors.backlog(), store.xlen(STREAM)) == (0, 20)
    assert read(store, most=7) == ids[:7]
    await doors.intake.step()
    assert store.xlen(STREAM) == 13
    assert read(store) == ids[7:]
    await doors.intake.step()
    assert store.xlen(STREAM) == 0


async def test_what_the_other_has_in_hand_stays(doors: Doors, store: sync_redis.Redis) -> None:
    """An entry that a consumer of the other group has been given and not acknowledged stays, and what follows it."""
    store.xgroup_create(STREAM, OTHER, id="0")
    ids = add(store, 5)
    assert read(store, most=2) == ids[:2]
    assert read(store, most=1, ack=False) == ids[2:3]
    assert read(store) == ids[3:]
    await doors.intake.step()
    left: Any = store.xrange(STREAM)
    assert [entry_id for entry_id, _ in left] == ids[2:]
    store.xack(STREAM, OTHER, ids[2])
    await doors.intake.step()
    assert store.xlen(STREAM) == 0


async def test_three_groups(doors: Doors, store: sync_redis.Redis) -> None:
    """The slowest of three groups decides how far entries are deleted."""
    for group in (OTHER, "audit"):
        store.xgroup_create(STREAM, group, id="0")
    ids = add(store, 6)
    assert len(read(store)) == 6
    assert read(store, "audit", most=4) == ids[:4]
    await doors.intake.step()
    assert store.xlen(STREAM) == 2
    assert read(store, "audit") == ids[4:]


async def test_a_group_that_is_destroyed(doors: Doors, store: sync_redis.Redis) -> None:
    """When the other group is destroyed what was left for it goes, too, and all is as it was before it came."""
    store.xgroup_create(STREAM, OTHER, id="0")
    add(store, 5)
    await doors.intake.step()
    assert store.xlen(STREAM) == 5
    store.xgroup_destroy(STREAM, OTHER)
    await doors.intake.step()
    assert (store.xlen(STREAM), store.exists(key_of("shared"))) == (0, 0)


async def test_a_group_that_comes_while_we_have_entries_in_hand(doors: Doors, store: sync_redis.Redis) -> None:
    """Whether there are other groups is asked as we delete: one that was made since we read gets the entries."""
    ids = add(store, 3)
    assert read(store, DEFAULT_NAMESPACE.group, ack=False) == ids
    store.xgroup_create(STREAM, OTHER, id="0")
    await doors.ledger.events.take_off(STREAM, ids)
    assert read(store) == ids


async def test_our_own_group_is_destroyed(doors: Doors, store: sync_redis.Redis) -> None:
    """Entries that we have not read are not taken for read by all: our group is made again and takes them in."""
    store.xgroup_create(STREAM, OTHER, id="0")
    add(store, 3)
    await doors.intake.step()
    store.xgroup_destroy(STREAM, DEFAULT_NAMESPACE.group)
    add(store, 3, first=3)
    assert len(read(store)) == 6
    await doors.ledger.events.take_off(STREAM, [])
    assert store.xlen(STREAM) == 6
    await take_in(doors)
    assert count(store, "queued") == 6
    assert store.xlen(STREAM) == 0


async def test_long_ids(doors: Doors, store: sync_redis.Redis) -> None:
    """Producers may choose ids that are longer than Lua's numbers can hold."""
    store.xgroup_create(STREAM, OTHER, id="0")
    ids = [b"9-18446744073709551614", b"9-18446744073709551615", b"10-1", b"18446744073709551614-0"]
    ids += [b"18446744073709551615-18446744073709551614", b"18446744073709551615-18446744073709551615"]
    for number, entry_id in enumerate(ids):
        store.xadd(STREAM, {"event": cloud_event(f"sg_{number}", f"e{number}")}, id=entry_id.decode())
    await doors.intake.step()
    for left in range(5, -1, -1):
        assert len(read(store, most=1)) == 1
        await doors.intake.step()
        assert store.xlen(STREAM) == left


async def test_a_lag_that_the_store_does_not_know(doors: Doors, store: sync_redis.Redis) -> None:
    """Where somebody deleted an entry in the middle, what we have not read is counted."""
    store.xgroup_create(STREAM, OTHER, id="0")
    ids = add(store, 9)
    assert read(store, DEFAULT_NAMESPACE.group, most=2, ack=False) == ids[:2]
    store.xdel(STREAM, ids[4])
    [ours] = [group for group in store.xinfo_groups(STREAM) if group["name"] == DEFAULT_NAMESPACE.group.encode()]
    assert ours["lag"] is None
    assert await doors.backlog() == 2 + 6


async def test_many(doors: Doors, store: sync_redis.Redis) -> None:
    """A group that was far behind and is destroyed leaves much; it goes, a bounded part at a time."""
    store.xgroup_create(STREAM, OTHER, id="0")
    with store.pipeline() as pipe:
        for _ in range(25_000):
            pipe.xadd(STREAM, {"x": "y"})
        pipe.execute()
    assert len(read(store, DEFAULT_NAMESPACE.group, most=30_000)) == 25_000
    await doors.ledger.events.take_off(STREAM, [])
    store.xgroup_destroy(STREAM, OTHER)
    left = []
    for _ in range(5):
        await doors.ledger.events.take_off(STREAM, [])
        left.append(int(store.xlen(STREAM)))
    assert left[0] >= 14_000
    assert left[-1] == 0


@pytest.mark.parametrize("seed", range(10))
async def test_any_course(doors: Doors, store: sync_redis.Redis, seed: int) -> None:
    """Whoever reads, acknowledges, comes and goes, in any order: every group gets all, and nothing is left."""
    chance = random.Random(seed)
    published: list[bytes] = []
    groups: dict[str, list[bytes]] = {}
    for step in range(60):
        match chance.randrange(6):
            case 0 | 1:
                published += add(store, chance.randrange(1, 5), first=len(published))
            case 2:
                await doors.intake.step()
            case 3 if len(groups) < 3:
                store.xgroup_create(STREAM, f"g{step}", id="$")
                groups[f"g{step}"] = published[:]
            case 4 if groups:
                group = chance.choice(list(groups))
                groups[group] = groups[group] + read(store, group, chance.randrange(1, 6))
            case 5 if groups and chance.random() < 0.2:
                gone = chance.choice(list(groups))
                store.xgroup_destroy(STREAM, gone)
                del groups[gone]
    for group, had in groups.items():
        assert had + read(store, group) == published
    await doors.intake.step()
    await doors.intake.step()
    assert count(store, "queued") == len(published)
    assert store.xlen(STREAM) == 0
