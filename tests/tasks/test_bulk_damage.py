"""Another program writes to the keys of bulk actions: nothing is done in half, and closures are settled as ever."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.closure import State
from tasks.errors import LedgerBroken
from tasks.ledger.bulk_action import BulkAction
from tasks.ledger.values import Unreadable
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.bulking import audit_of, begin, carry, fail, recall, states

GROUPS = ["sg_0", "sg_1"]


@pytest.mark.parametrize(
    "name",
    ["actions", "actions:open", "actions:ended", "action:{}", "action:{}:items", "action:{}:changed", "action:{}:not"],
)
async def test_a_key_of_another_kind(book: Book, name: str) -> None:
    """A step fails before its first write; the closures are as they were, and others are worked on."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    key = key_of(name.format(action_id))
    await book.redis.delete(key)
    await book.redis.set(key, "not ours")
    with pytest.raises(LedgerBroken):
        await book.ledger.bulk.step(action_id, "requeue", holder="ann")
    assert await states(book, *GROUPS) == [State.FAILED, State.FAILED]
    await book.receive("sg_2")
    await book.closed(await book.claim("sg_2"))


@pytest.mark.parametrize("name", ["action:{}", "action:{}:not", "action:{}:changed"])
async def test_a_closure_of_an_action_whose_keys_are_foreign(book: Book, name: str) -> None:
    """It is called, closed and held as any other; only the counts are lost."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    await carry(book, action_id)
    claim = await book.claim("sg_0")
    recall_id = await recall(book, action_id)
    await carry(book, recall_id)
    for one in (action_id, recall_id):
        await book.redis.delete(key_of(name.format(one)))
        await book.redis.set(key_of(name.format(one)), "not ours")
    await book.closed(claim)
    assert await states(book, *GROUPS) == [State.CLOSED, State.FAILED]


@pytest.mark.parametrize(("field", "recalled"), [("A", 1), ("Ar", 1), ("Ab", 2)])
async def test_odd_fields_of_a_record(book: Book, field: str, recalled: int) -> None:
    """Names of actions that there are not, and of reasons that there are not, stop nothing."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    await carry(book, action_id)
    record: Any = await book.redis.get(key_of("c:sg_0"))
    odd = json.loads(record) | {"Am": 1, field: "../\x1b"}
    await book.redis.set(key_of("c:sg_0"), json.dumps(odd))
    assert (await carry(book, await recall(book, action_id))).changed == recalled
    if recalled == 1:
        await book.closed(await book.claim("sg_0"))
    assert await states(book, *GROUPS) == [State.CLOSED if recalled == 1 else State.FAILED, State.FAILED]


@pytest.mark.parametrize(
    "value", ["{", "null", "[1]", '[["x"]]', '[["moved on", "many"]]', '{"a": 1}', "-1", "nan", "x"]
)
@pytest.mark.parametrize(
    "field", ["skips", "skipped", "rate", "canary", "canary_wait", "next_at", "changed", "marked", "fails", "created"]
)
async def test_damaged_fields(book: Book, field: str, value: str) -> None:
    """The action ends or waits, each item is done at most once, and what cannot be read is told."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS, canary=1)
    await book.ledger.requeue(["sg_0"])
    await book.redis.hset(key_of(f"action:{action_id}"), field, value)
    for _ in range(5):
        await book.ledger.bulk.step(action_id, "requeue", holder="ann")
        book.clock.forward(1)
    assert isinstance(await book.ledger.bulk.read(action_id), BulkAction | Unreadable)
    await book.ledger.bulk.not_done(action_id, 5)
    await book.ledger.bulk.stop(action_id, "enough")
    assert await book.state("sg_0") is State.QUEUED


async def test_a_verb_of_a_later_release(book: Book) -> None:
    """Nothing is done to the items of an action that this release does not know how to do."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    await book.redis.hset(key_of(f"action:{action_id}"), "verb", "polish")
    with pytest.raises(LedgerBroken, match="another script does this: polish"):
        await book.ledger.bulk.step(action_id, "polish", holder="ann")
    assert await states(book, *GROUPS) == [State.FAILED, State.FAILED]
    assert audit_of("polish")["matched"] == 0


@pytest.mark.parametrize("member", [b"a/b", b"", b"\xff\xfe", b"x" * 5000])
async def test_foreign_items(book: Book, member: bytes) -> None:
    """What is not a reference is counted as unknown, and named without harm."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    await book.redis.zadd(key_of(f"action:{action_id}:items"), {member: 1})
    done = await carry(book, action_id)
    assert (done.changed, done.not_done) == (2, {"unknown": 1})
    assert len(await book.ledger.bulk.not_done(action_id, 5)) == 1
