"""The ledger's streams and the stream of events: long ones, absent stores, and keys of another type."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.ledger.audit import Announced, AuditEntry
from tasks.ledger.event_stream import _pairs
from tasks.ledger.fleets import other_fleets
from tasks.ledger.ledger import Ledger
from tasks.ledger.old_move import move
from tasks.ledger.old_prefix import OLD_PREFIX, look
from tasks.ledger.values import Unreadable
from tasks.namespace import DEFAULT_NAMESPACE
from tests.support import key_of

AWAY = "redis://127.0.0.1:1"
STEPS: dict[str, Callable[[Ledger], Awaitable[object]]] = {
    "publish": lambda ledger: ledger.events.publish("events", [b"{}"]),
    "read": lambda ledger: ledger.events.read("events", count=1, block_ms=1),
    "abandoned": lambda ledger: ledger.events.abandoned("events", count=1, idle_ms=1),
    "create group": lambda ledger: ledger.events.create_group("events"),
    "groups": lambda ledger: ledger.events.groups("events"),
    "other fleets": lambda ledger: other_fleets(ledger.redis, "events", DEFAULT_NAMESPACE),
    "old ledger": lambda ledger: look(ledger.redis),
    "move": lambda ledger: move(ledger.redis),
    "kinds": lambda ledger: ledger.kinds(["agenda"]),
    "info": lambda ledger: ledger.store_info(),
}


@pytest.mark.parametrize("step", STEPS)
async def test_without_a_store(step: str) -> None:
    """Each step says that the store does not answer, and raises nothing of its client's."""
    ledger = Ledger(Redis.from_url(AWAY))
    with pytest.raises(StoreUnavailable, match="does not answer"):
        await STEPS[step](ledger)


@pytest.mark.parametrize("step", ["publish", "read", "abandoned", "create group", "groups", "other fleets"])
async def test_a_stream_that_is_something_else(real: Redis, step: str) -> None:
    """Where the key of the events' stream holds something else each step says so."""
    await real.set("events", "not a stream")
    with pytest.raises(LedgerBroken, match="holds something else"):
        await STEPS[step](Ledger(real))


async def test_a_long_stream_is_read_backwards(any_store: Redis) -> None:
    """Every entry comes once, the newest first, however many there are."""
    for number in range(450):
        await any_store.xadd(key_of("audit"), {"action": str(number)})
    found = [one.action.action async for one in Ledger(any_store).audit.entries() if isinstance(one, AuditEntry)]
    assert found == [str(number) for number in range(450)][::-1]


async def test_an_action_that_the_audit_no_longer_has(any_store: Redis) -> None:
    """A closure may keep the id of an entry that was exported and removed: it is left out, the others are told."""
    kept: Any = await any_store.xadd(key_of("audit"), {"action": "requeue", "by": "ann"})
    found = await Ledger(any_store).audit.announced([kept.decode(), "1-1"])
    assert found == {kept.decode(): Announced("ann", "requeue", None, "")}


async def test_what_another_program_wrote_into_the_audit(any_store: Redis) -> None:
    """An entry that is neither an action nor a result is Unreadable by name; the others are read beside it."""
    await any_store.xadd(key_of("audit"), {b"\xff": b"\xff"}, id="1-1")
    await any_store.xadd(key_of("audit"), {"action": "pause"}, id="2-1")
    read = [one async for one in Ledger(any_store).audit.entries()]
    assert read == [
        AuditEntry("2-1", Announced("", "pause", None, ""), 0, 0, {}),
        Unreadable("1-1", '{"\\\\xff": "\\\\xff"}'),
    ]


async def test_a_page_of_large_entries_ends_early(any_store: Redis) -> None:
    """A page holds little more than a mebibyte, so that a step of the store stays short; no entry is left out."""
    bodies = [bytes([65 + number]) * 300_000 for number in range(25)]
    for body in bodies:
        await any_store.xadd(key_of("rejected"), {"event": body})
    letters = Ledger(any_store).dead_letters
    assert len(await letters._page("newest", "+", "-", 200, "1")) == 20
    assert [one.body async for one in letters.newest()] == bodies[::-1]


async def test_an_old_key_of_another_kind_does_not_hold_a_move_up(real: Redis, store: sync_redis.Redis) -> None:
    """Keys are renamed whatever they hold: that one of them is damaged is told by those that read it."""
    store.set(f"{OLD_PREFIX}agenda", "not ours")
    store.set(f"{OLD_PREFIX}c:sg_1", "not JSON")
    assert await move(real) == 1
    assert store.get(key_of("agenda")) == b"not ours"
    assert store.get(key_of("c:sg_1")) == b"not JSON"


@pytest.mark.parametrize(
    ("reply", "pairs"),
    [
        (None, []),
        ([], []),
        ([[b"events", [(b"1-0", {})]]], [[b"events", [(b"1-0", {})]]]),
        ({b"events": [[(b"1-0", {})]]}, [(b"events", [(b"1-0", {})])]),
        ({b"events": []}, [(b"events", [])]),
    ],
)
def test_both_protocols(reply: object, pairs: list[object]) -> None:
    """The reply to XREADGROUP is read in RESP2 (a list) and in RESP3 (a map)."""
    assert _pairs(reply) == pairs


async def test_a_user_who_may_not_rename(real: Redis, store: sync_redis.Redis, store_url: str) -> None:
    """A move that the store's ACL forbids ends with what is missing; the old ledger stays as it is."""
    store.set(f"{OLD_PREFIX}c:sg_1", "{}")
    store.zadd(f"{OLD_PREFIX}agenda", {"sg_1": 1})
    control: Any = store
    control.execute_command("ACL", "SETUSER", "limited", "on", "nopass", "~*", "&*", "+@all", "-renamenx", "-rename")
    async with Redis.from_url(store_url.replace("redis://", "redis://limited:x@")) as limited:
        with pytest.raises(StoreUnavailable, match="ACL"):
            await move(limited)
    control.execute_command("ACL", "DELUSER", "limited")
    assert store.exists(f"{OLD_PREFIX}c:sg_1", f"{OLD_PREFIX}agenda") == 2
