"""Holds and releases as stored actions, on fakeredis and on a real Valkey."""

from __future__ import annotations

import pytest

from tasks.closure import State
from tasks.errors import OlderWorkers
from tasks.ledger.audit import AuditEntry
from tasks.ledger.bulk_action import BulkState
from tasks.ledger.holds import HoldWord
from tasks.ledger.notices import Notice, NoticeKind
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.bulking import begin, carry, fail, states, step


async def kinds(book: Book) -> list[NoticeKind]:
    """The notices of bulk actions, oldest first."""
    page = await book.ledger.notices.read()
    wanted = (NoticeKind.HELD, NoticeKind.ACTION_ENDED)
    return [one.kind for one in page.notices if isinstance(one, Notice) and one.kind in wanted]


async def test_an_item_belongs_to_the_first_action(book: Book) -> None:
    """That is the one that was begun first, whoever carries which: another action of the same verb is not asked."""
    await fail(book, "sg_1")
    first = await begin(book, "hold", "sg_1", holder="ann")
    await begin(book, "requeue", "sg_1", holder="")
    last = await carry(book, await begin(book, "requeue", "sg_1", holder=""))
    assert last.not_done == {f"refused: action {first} has it": 1}
    assert await book.ledger.bulk.owner("sg_1") == (first, "hold")


async def test_a_hold_takes_effect_whatever_has_happened_since(book: Book) -> None:
    """Queued, failed, not known, or under way: each step says what it came to, and the hold tells who and why."""
    await book.receive("sg_0", "sg_1")
    await fail(book, "sg_2")
    action_id = await begin(book, "hold", items=dict.fromkeys(["sg_0", "sg_1", "sg_2", "sg_new"], 0))
    await book.claim("sg_1")
    await book.ledger.requeue(["sg_2"])
    first = await step(book, action_id, most=1)
    assert [(ref, answer.word) for ref, answer in first.answers] == [("sg_0", HoldWord.HELD)]
    rest = await step(book, action_id)
    assert [(ref, answer.word) for ref, answer in rest.answers] == [
        ("sg_1", HoldWord.PENDING), ("sg_2", HoldWord.HELD), ("sg_new", HoldWord.HELD)
    ]  # fmt: skip
    done = await carry(book, action_id)
    assert (done.state, done.changed) == (BulkState.DONE, 4)
    assert await states(book, "sg_0", "sg_1", "sg_2", "sg_new") == [
        State.HELD, State.CLOSING, State.HELD, State.HELD
    ]  # fmt: skip
    hold = (await book.read("sg_2")).hold
    assert hold is not None
    assert (hold.by, hold.why, hold.door) == ("ann", "test", "cli")
    assert await kinds(book) == [NoticeKind.HELD, NoticeKind.HELD]
    [entry] = [one async for one in book.ledger.audit.entries()]
    assert isinstance(entry, AuditEntry)
    assert (entry.matched, entry.changed) == (4, 4)
    await book.ledger.inspector.step(lease_s=60)


async def test_a_hold_does_not_wait_for_an_older_action(book: Book) -> None:
    """It keeps a group from being called, so it comes first; the older re-queue finds that the group has moved on."""
    await fail(book, "sg_0")
    requeue = await begin(book, "requeue", "sg_0")
    assert (await carry(book, await begin(book, "hold", items={"sg_0": 0}))).changed == 1
    assert (await carry(book, requeue)).not_done == {"moved on": 1}


async def test_what_a_hold_does_not_do_is_counted(book: Book) -> None:
    """Held already, or closed."""
    await book.receive("sg_0", "sg_1")
    await book.ledger.holds.hold(["sg_0"], by="bob", why="wait")
    await book.closed(await book.claim("sg_1"))
    done = await carry(book, await begin(book, "hold", items={"sg_0": 0, "sg_1": 0}))
    assert (done.changed, done.not_done) == (0, {"already": 1, "closed": 1})


async def test_a_release_leaves_a_later_hold_alone(book: Book) -> None:
    """Somebody released the group and held it again since it was looked up."""
    await book.receive("sg_0", "sg_1", "sg_2")
    await book.ledger.holds.hold(["sg_0", "sg_1"], by="bob", why="wait")
    held_ms = (await book.read("sg_0")).entered_ms
    items = {"sg_0": held_ms, "sg_1": held_ms, "sg_2": 0}
    action_id = await begin(book, "release", items=items)
    book.clock.forward(1)
    await book.ledger.holds.release(["sg_1"])
    await book.ledger.holds.hold(["sg_1"], by="cid", why="again")
    done = await carry(book, action_id)
    assert (done.changed, done.not_done) == (1, {"moved on": 1, "not held": 1})
    assert await states(book, "sg_0", "sg_1") == [State.QUEUED, State.HELD]
    assert await kinds(book) == [NoticeKind.HELD, NoticeKind.HELD, NoticeKind.ACTION_ENDED]


@pytest.mark.parametrize("late", [False, True])
async def test_older_workers(book: Book, late: bool) -> None:
    """Nothing is held beside a worker that would call it: neither begun, nor, where one comes later, carried on."""
    await book.receive("sg_0")
    begun = await begin(book, "hold", items={"sg_0": 0}) if late else ""
    await book.redis.hset(key_of("workers"), "old", f'{{"at": {book.clock.ms}, "ledger_version": 1}}')
    with pytest.raises(OlderWorkers, match="old"):
        await (step(book, begun) if late else begin(book, "hold", items={"sg_0": 0}))
    assert await book.state("sg_0") is State.QUEUED


async def test_an_unknown_action(book: Book) -> None:
    """Another program has deleted it: nothing is held, and nobody carries it on."""
    action_id = await begin(book, "hold", items={"sg_0": 0})
    await book.redis.delete(key_of(f"action:{action_id}"))
    assert (await book.ledger.bulk.step(action_id, "hold", holder="bob")).word == "unknown"
    assert await book.ledger.bulk.free() == []
