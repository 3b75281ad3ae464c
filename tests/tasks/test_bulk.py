"""Stored bulk actions, on fakeredis and on a real Valkey: whoever carries one on, each item is done once."""

from __future__ import annotations

import pytest

from tasks.closure import Reason, State
from tasks.ledger.audit import AuditEntry
from tasks.ledger.bulk import LEASE_S, BulkWord
from tasks.ledger.bulk_action import BulkState
from tasks.ledger.notices import Notice, NoticeKind
from tasks.ledger.scripts import Scripts
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.bulking import ANN, audit_of, begin, carry, fail, read, states, step

GROUPS = [f"sg_{number}" for number in range(5)]


@pytest.mark.parametrize(("verb", "state"), [("requeue", State.QUEUED), ("discard", State.DISCARDED)])
async def test_an_action_changes_its_items_and_counts_them(book: Book, verb: str, state: State) -> None:
    """Step by step; its record, its entry in the audit and the notice of its end say what came of it."""
    await fail(book, *GROUPS)
    action_id = await begin(book, verb, *GROUPS)
    assert (await step(book, action_id, most=2))[:4] == (BulkWord.RUNNING, 0.0, 3, 2)
    assert (await read(book, action_id)).changed == 2
    done = await carry(book, action_id, most=2)
    assert (done.state, done.changed, done.left, done.not_done) == (BulkState.DONE, 5, 0, {})
    assert (done.by, done.why, done.door, done.ended_ms) == (ANN, "test", "cli", book.clock.ms)
    assert await states(book, *GROUPS) == [state] * 5
    [entry] = [one async for one in book.ledger.audit.entries()]
    assert isinstance(entry, AuditEntry)
    assert (entry.entry_id, entry.matched, entry.changed, entry.unfinished) == (done.audit_id, 5, 5, 0)
    ended = [one for one in (await book.ledger.notices.read()).notices if isinstance(one, Notice)][-1]
    assert ended.kind is NoticeKind.ACTION_ENDED
    assert (ended.fields["changed"], ended.fields["stopped"]) == (5, False)


async def test_ids_sort_by_time_and_are_short(book: Book) -> None:
    """Also two of the same millisecond have different ids; the newest come first in the list."""
    ids = [await begin(book, "requeue", items={}) for _ in range(3)]
    book.clock.forward(10)
    ids.append(await begin(book, "requeue", items={}))
    assert ids == sorted(set(ids))
    assert all(len(one) == 9 for one in ids)
    assert [one.name async for one in book.ledger.bulk.newest(10)] == ids[::-1]
    assert [one.name async for one in book.ledger.bulk.newest(2)] == ids[:1:-1]


async def test_nothing_has_begun_before_all_is_frozen(book: Book) -> None:
    """A crash while items are frozen leaves a draft, which is no action, and which is deleted after 15 minutes."""
    await fail(book, "sg_1")
    scripts = Scripts(book.redis, book.ledger.prefix, 1.0, book.clock)
    draft = (await scripts.run("bulk_draft", "new")).decode()
    assert await scripts.run("bulk_draft", "add", draft, 1, "sg_1") == 1
    assert await book.ledger.bulk.read(draft) is None
    assert (await step(book, draft)).word is BulkWord.UNKNOWN
    assert await book.ledger.bulk.prune(keep_s=1) == 0
    book.clock.forward(901)
    assert await book.ledger.bulk.prune(keep_s=1) == 2
    assert await scripts.run("bulk_draft", "add", draft, 1, "sg_1") == 0
    assert await scripts.run("bulk_draft", "begin", draft, "", 1, 0) == b"no draft"
    assert await book.redis.keys(key_of("action*")) == []
    assert await book.state("sg_1") is State.FAILED


async def test_an_item_that_has_moved_on_is_left_alone(book: Book) -> None:
    """Re-queued, held, closed, or failed again since it was frozen: each item carries when it entered its state."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    await book.ledger.requeue(["sg_0"])
    await book.ledger.holds.hold(["sg_1"], by="bob", why="wait")
    await book.ledger.requeue(["sg_2"])
    await book.failed("sg_2", Reason.NOT_LOCKED)
    await book.redis.set(key_of("c:sg_3"), "{")
    done = await carry(book, action_id)
    assert (done.changed, done.not_done) == (1, {"moved on": 3, "unreadable": 1})
    assert await book.ledger.bulk.not_done(action_id, 10) == {
        "sg_0": "moved on", "sg_1": "moved on", "sg_2": "moved on", "sg_3": "unreadable",
    }  # fmt: skip
    assert await states(book, "sg_1", "sg_2", "sg_4") == [State.HELD, State.FAILED, State.QUEUED]
    assert done.untouched == {"moved on": 3, "unreadable": 1}


async def test_two_actions_on_the_same_items(book: Book) -> None:
    """Each item belongs to the action that was begun first, also before it has come to it."""
    await fail(book, *GROUPS)
    first = await begin(book, "requeue", *GROUPS)
    same, other = await begin(book, "requeue", *GROUPS), await begin(book, "discard", *GROUPS)
    await step(book, first, most=2)
    assert (await carry(book, same)).not_done == {"not needed": 5}
    assert (await carry(book, other)).not_done == {f"refused: action {first} has it": 3, "moved on": 2}
    assert (await carry(book, first)).changed == 5


async def test_a_stopped_action_keeps_no_items_from_others(book: Book) -> None:
    """Another operator's action takes them; resumed, the stopped one does not need them any more."""
    await fail(book, *GROUPS)
    first = await begin(book, "requeue", *GROUPS)
    assert await book.ledger.bulk.stop(first, "bob stopped it") is BulkWord.STOPPED
    assert (await carry(book, await begin(book, "requeue", *GROUPS))).changed == 5
    await book.ledger.bulk.resume(first, holder=ANN, audit=audit_of("resume action"))
    assert (await carry(book, first)).not_done == {"not needed": 5}


async def test_one_process_at_a_time_carries_an_action(book: Book) -> None:
    """Another one takes over when the lease is over, or when it is left; the first is then told."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    assert await book.ledger.bulk.free() == []
    assert (await step(book, action_id, "bob", 1))[:4] == (BulkWord.ELSEWHERE, 0.0, 5, 0)
    await step(book, action_id, most=1)
    book.clock.forward(LEASE_S - 1)
    assert await book.ledger.bulk.free() == []
    book.clock.forward(1)
    assert await book.ledger.bulk.free() == [action_id]
    assert (await step(book, action_id, "bob", 1)).looked == 1
    assert (await step(book, action_id, most=1)).word is BulkWord.ELSEWHERE
    await book.ledger.bulk.leave(action_id, holder=ANN)
    assert await book.ledger.bulk.free() == []
    await book.ledger.bulk.leave(action_id, holder="bob")
    assert await book.ledger.bulk.free() == [action_id]
    done = await carry(book, action_id)
    assert (done.changed, done.state) == (5, BulkState.DONE)
    assert await book.ledger.bulk.free() == []


async def test_a_lease_of_another_clock_is_over(book: Book) -> None:
    """After the store's clock was set back a lease does not keep an action for as long as that."""
    await fail(book, "sg_0")
    action_id = await begin(book, "requeue", "sg_0")
    await book.redis.zadd(key_of("actions:open"), {action_id: book.clock.ms + 86_400_000})
    assert await book.ledger.bulk.free() == [action_id]
    assert (await step(book, action_id, "bob")).looked == 1


async def test_stop_and_resume(book: Book) -> None:
    """A stopped action does nothing, whoever tries, until it is resumed; both are audited and it says why."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS)
    await step(book, action_id, most=2)
    assert await book.ledger.bulk.stop(action_id, "bob stopped it", audit=audit_of("stop action")) is BulkWord.STOPPED
    assert await book.ledger.bulk.stop(action_id, "again") is BulkWord.STOPPED
    stopped = await read(book, action_id)
    assert (stopped.state, stopped.stopped_because, stopped.left) == (BulkState.STOPPED, "bob stopped it", 3)
    assert (await step(book, action_id))[:4] == (BulkWord.STOPPED, 0.0, 3, 0)
    assert await book.ledger.bulk.free() == []
    resume = audit_of("resume action")
    assert await book.ledger.bulk.resume(action_id, holder="", audit=resume) is BulkWord.RESUMED
    assert await book.ledger.bulk.resume(action_id, holder="", audit=resume) is BulkWord.RUNNING
    assert await book.ledger.bulk.free() == [action_id]
    done = await carry(book, action_id)
    assert (done.state, done.changed, done.stopped_because) == (BulkState.DONE, 5, "")
    actions = [one.action.action async for one in book.ledger.audit.entries() if isinstance(one, AuditEntry)]
    assert actions == ["resume action", "stop action", "requeue"]


async def test_pace(book: Book) -> None:
    """At most so many a second, whoever carries it on."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS, rate=2.0)
    assert (await step(book, action_id))[1:4] == (1.0, 3, 2)
    assert (await step(book, action_id))[1:4] == (1.0, 3, 0)
    book.clock.forward(0.75)
    await book.ledger.bulk.leave(action_id, holder=ANN)
    assert (await step(book, action_id, "bob"))[1:4] == (0.25, 3, 0)
    book.clock.forward(0.25)
    assert (await step(book, action_id, "bob"))[1:4] == (1.0, 1, 2)
    slow = await begin(book, "discard", items={"sg_0": 1, "sg_1": 1}, rate=0.1)
    assert (await step(book, slow))[1:4] == (10.0, 1, 1)


async def test_a_pace_of_another_clock_is_not_waited_for(book: Book) -> None:
    """After the store's clock was set back, the next items do not wait for as long as that."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS, rate=2.0)
    await step(book, action_id)
    book.clock.forward(-3600)
    assert (await step(book, action_id)).looked == 2


@pytest.mark.parametrize("paced", [True, False])
async def test_while_the_gate_is_shut(book: Book, paced: bool) -> None:
    """A re-queue with a pace waits until the gate opens, and goes on by itself; one without takes effect at once."""
    await fail(book, *GROUPS)
    await book.ledger.gate.pause(by="bob", why="upgrade")
    action_id = await begin(book, "requeue", *GROUPS, rate=100.0 if paced else 0.0)
    assert (await step(book, action_id)).looked == (0 if paced else 5)
    assert (await read(book, action_id)).waits_for == ("gate" if paced else "")
    assert (await read(book, action_id)).state is (BulkState.WAITING if paced else BulkState.DONE)
    await book.ledger.gate.resume(by="bob", why="done")
    assert (await carry(book, action_id)).changed == 5


async def test_a_discard_does_not_care_about_the_gate(book: Book) -> None:
    """Nothing is called for it."""
    await fail(book, *GROUPS)
    await book.ledger.gate.pause(by="bob", why="upgrade")
    assert (await carry(book, await begin(book, "discard", *GROUPS, rate=100.0))).changed == 5


async def test_what_became_of_them(book: Book) -> None:
    """Closed, retrying, failed again, waiting, held, discarded: counted as it happens, each at its last action."""
    groups = [f"sg_{number}" for number in range(7)]
    await fail(book, *groups)
    action_id = await begin(book, "requeue", *groups)
    assert (await carry(book, action_id)).became == {"closed": 0, "retrying": 0, "failed": 0, "waiting": 7}
    await book.closed(await book.claim("sg_0"))
    await book.settle(await book.claim("sg_1"), State.RETRYING, delay_s=5.0)
    await book.failed("sg_2")
    await book.claim("sg_3")
    await book.ledger.holds.hold(["sg_4"], by="bob", why="wait")
    await book.failed("sg_5")
    await carry(book, await begin(book, "discard", "sg_5"))
    became = (await read(book, action_id)).became
    assert became == {"closed": 1, "retrying": 1, "failed": 2, "waiting": 2, "held": 1}
    await book.receive("sg_2", event_id="e9")
    await book.ledger.holds.release(["sg_4"])
    became = (await read(book, action_id)).became
    assert became == {"closed": 1, "retrying": 1, "failed": 1, "waiting": 4}


async def test_old_actions_are_deleted_a_few_items_at_a_time(book: Book) -> None:
    """As long after their end as was asked for; one that goes on is kept, however old."""
    await fail(book, *GROUPS)
    ended = await begin(book, "requeue", *GROUPS)
    await book.ledger.requeue(["sg_0"])
    await carry(book, ended)
    going = await begin(book, "discard", items=dict.fromkeys(GROUPS, 1))
    book.clock.forward(100)
    assert await book.ledger.bulk.prune(keep_s=100.5, limit=3) == 0
    book.clock.forward(1)
    assert await book.ledger.bulk.prune(keep_s=100.5, limit=3) == 4
    assert await book.ledger.bulk.read(ended) is not None
    assert await book.ledger.bulk.prune(keep_s=100.5, limit=3) == 2
    assert await book.ledger.bulk.read(ended) is None
    assert await book.ledger.bulk.prune(keep_s=100.5, limit=3) == 0
    assert [one.name async for one in book.ledger.bulk.newest(10)] == [going]
    await book.closed(await book.claim("sg_1"))
    assert await book.redis.keys(key_of(f"action:{ended}*")) == []
