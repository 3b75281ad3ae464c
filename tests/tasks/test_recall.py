"""Recalled actions, on fakeredis and on a real Valkey: what has not been called is as it was, the rest is named."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tasks.closure import Reason, State
from tasks.errors import OlderWorkers
from tasks.ledger.audit import AuditEntry
from tasks.ledger.bulk import BulkWord
from tasks.ledger.bulk_action import BulkAction, BulkState
from tasks.ledger.values import Claim, Observation, Settlement
from tests.support import key_of
from tests.tasks.book import LEASE_S, Book
from tests.tasks.bulking import audit_of, begin, carry, fail, read, recall, states, step

GROUPS = [f"sg_{number}" for number in range(4)]
FIELDS = {"A", "Ar", "Am", "Ab"}


async def record(book: Book, reference: str) -> dict[str, Any]:
    """The record as it is stored."""
    raw: Any = await book.redis.get(key_of(f"c:{reference}"))
    return dict(json.loads(raw))


async def requeued(book: Book, *references: str, reason: Reason = Reason.NOT_LOCKED) -> str:
    """A re-queue that has done all its items."""
    await fail(book, *references, reason=reason)
    action_id = await begin(book, "requeue", *references, lock=True)
    assert (await carry(book, action_id)).changed == len(references)
    return action_id


async def recalled(book: Book, action_id: str) -> BulkAction:
    """Recall it, as far as that goes at once."""
    return await carry(book, await recall(book, action_id))


async def give_back(book: Book, claim: Claim) -> None:
    """End an attempt without a call."""
    await book.ledger.settle([Settlement(claim.reference, claim.lease, State.QUEUED)])


async def test_items_return_to_what_they_were(book: Book) -> None:
    """The same reason and place in time, on no agenda; what the action had left is dropped; all of it is audited."""
    await fail(book, *GROUPS, reason=Reason.NOT_LOCKED)
    before = [await book.read(reference) for reference in GROUPS]
    action_id = await begin(book, "requeue", *GROUPS, lock=True)
    await step(book, action_id, most=3)
    book.clock.forward(30)
    done = await recalled(book, action_id)
    assert (done.verb, done.state, done.changed, done.matched, done.of) == ("recall", BulkState.DONE, 3, 3, action_id)
    for closure in before:
        now = await book.read(closure.reference)
        assert (await book.state(closure.reference), now.reason, now.entered_ms) == (
            State.FAILED, Reason.NOT_LOCKED, closure.entered_ms
        )  # fmt: skip
        assert await book.agenda(closure.reference) is None
        assert not FIELDS & (await record(book, closure.reference)).keys()
    original = await read(book, action_id)
    assert (original.state, original.recalled, original.left) == (BulkState.RECALLED, 3, 0)
    assert original.became == {"closed": 0, "retrying": 0, "failed": 0, "waiting": 0}
    assert (await step(book, action_id)).word is BulkWord.RECALLED
    entries = [one for one in [one async for one in book.ledger.audit.entries()] if isinstance(one, AuditEntry)]
    assert [(one.action.action, one.changed) for one in entries] == [("recall", 3), ("requeue", 3)]
    assert [one.action for one in (await book.read("sg_0")).actions] == ["requeue", "recall"]
    found = await book.inspect()
    assert (found.agenda, found.index, found.stale) == (0, 0, 0)


async def test_once(book: Book) -> None:
    """A second recall does nothing, and neither does one of an action that is not there."""
    action_id = await requeued(book, *GROUPS)
    await recalled(book, action_id)
    again = await book.ledger.bulk.recall(action_id, holder="", audit=audit_of("recall"))
    assert again is BulkWord.RECALLED
    assert await book.ledger.bulk.recall("nothing", holder="", audit=audit_of("recall")) is BulkWord.UNKNOWN


async def test_what_stays_is_named(book: Book) -> None:
    """Called and closed, called and retrying, called and failed again, asked for by an event, or another's by now."""
    groups = [f"sg_{number}" for number in range(6)]
    action_id = await requeued(book, *groups)
    await book.closed(await book.claim("sg_0"))
    await book.settle(await book.claim("sg_1"), State.RETRYING, delay_s=5.0)
    await book.failed("sg_2")
    await book.receive("sg_3", event_id="e2")
    await book.failed("sg_4")
    await carry(book, await begin(book, "discard", "sg_4"))
    done = await recalled(book, action_id)
    assert (done.changed, done.not_done) == (1, {"called": 3, "an event came": 1, "moved on": 1})
    assert await book.ledger.bulk.not_done(done.id, 10) == {
        "sg_0": "called", "sg_1": "called", "sg_2": "called", "sg_3": "an event came", "sg_4": "moved on",
    }  # fmt: skip
    assert await states(book, *groups) == [
        State.CLOSED, State.RETRYING, State.FAILED, State.QUEUED, State.DISCARDED, State.FAILED
    ]  # fmt: skip


async def test_the_same_event_again_is_not_a_new_one(book: Book) -> None:
    """A duplicate asks for nothing."""
    action_id = await requeued(book, "sg_0")
    await book.receive("sg_0")
    assert (await recalled(book, action_id)).changed == 1


async def test_a_claimed_item_returns_when_it_was_not_called(book: Book) -> None:
    """It is marked, the recall waits for it, and it returns in the step that gives it back."""
    action_id = await requeued(book, "sg_0", "sg_1")
    failed_ms = book.clock.ms - 2000
    claim = await book.claim("sg_0")
    pending = await recalled(book, action_id)
    assert (pending.state, pending.changed, pending.marked, pending.left) == (BulkState.RUNNING, 1, 1, 0)
    assert (await step(book, pending.id)).waits_for == "attempts"
    await give_back(book, claim)
    now = await book.read("sg_0")
    assert (await book.state("sg_0"), now.reason, now.entered_ms) == (State.FAILED, Reason.NOT_LOCKED, failed_ms)
    done = await carry(book, pending.id)
    assert (done.state, done.changed, done.marked) == (BulkState.DONE, 2, 0)
    assert (await read(book, action_id)).recalled == 2
    assert not FIELDS & (await record(book, "sg_0")).keys()
    entries = [one for one in [one async for one in book.ledger.audit.entries()] if isinstance(one, AuditEntry)]
    assert (entries[0].action.action, entries[0].changed) == ("recall", 2)


@pytest.mark.parametrize("how", ["closed", "retrying", "failed", "its lease ends", "an event comes", "verified"])
async def test_a_claimed_item_that_stays(book: Book, how: str) -> None:
    """It was called, or may have been, or an event came meanwhile: the recall ends and names it."""
    action_id = await requeued(book, "sg_0")
    claim = await book.claim("sg_0")
    pending = await recalled(book, action_id)
    assert pending.marked == 1
    match how:
        case "closed":
            await book.closed(claim)
        case "retrying":
            await book.settle(claim, State.RETRYING, delay_s=5.0)
        case "failed":
            await book.settle(claim, State.FAILED, reason=Reason.GONE)
        case "its lease ends":
            book.clock.forward(LEASE_S)
            await book.due()
        case "an event comes":
            await book.receive("sg_0", event_id="e2")
            await give_back(book, claim)
        case _:
            await book.ledger.reconcile([Observation("sg_0", True, 0)], audit="", others={})
    done = await carry(book, pending.id)
    why = "an event came" if how == "an event comes" else "called"
    assert (done.state, done.changed, done.marked, done.not_done) == (BulkState.DONE, 0, 0, {why: 1})
    assert not {"Am", "Ab"} & (await record(book, "sg_0")).keys()


async def test_a_claim_whose_lease_is_over_counts_as_called(book: Book) -> None:
    """Nobody knows whether the call took effect."""
    action_id = await requeued(book, "sg_0")
    await book.claim("sg_0")
    book.clock.forward(LEASE_S)
    assert (await recalled(book, action_id)).not_done == {"called": 1}
    assert await book.state("sg_0") is State.QUEUED


async def test_an_item_given_back_before_can_be_recalled(book: Book) -> None:
    """A claim that ended without a call has changed nothing."""
    action_id = await requeued(book, "sg_0")
    await give_back(book, await book.claim("sg_0"))
    assert (await recalled(book, action_id)).changed == 1


async def test_a_held_item_is_failed_at_its_release(book: Book) -> None:
    """Its hold stands, and it comes back as it was before the re-queue."""
    action_id = await requeued(book, "sg_0")
    failed_ms = book.clock.ms - 1000
    await book.ledger.holds.hold(["sg_0"], by="bob", why="wait")
    assert (await recalled(book, action_id)).changed == 1
    assert await book.state("sg_0") is State.HELD
    await book.ledger.holds.release(["sg_0"])
    now = await book.read("sg_0")
    assert (await book.state("sg_0"), now.reason, now.entered_ms) == (State.FAILED, Reason.NOT_LOCKED, failed_ms)


async def test_a_hold_on_a_marked_item(book: Book) -> None:
    """Both take effect when the attempt ends: it is held, and failed at its release."""
    action_id = await requeued(book, "sg_0")
    claim = await book.claim("sg_0")
    await recalled(book, action_id)
    await book.ledger.holds.hold(["sg_0"], by="bob", why="wait")
    await give_back(book, claim)
    assert await book.state("sg_0") is State.HELD
    await book.ledger.holds.release(["sg_0"])
    assert await book.state("sg_0") is State.FAILED


async def test_a_discard_is_recalled_at_any_time(book: Book) -> None:
    """While the closure is kept: the same reason and place in time; one that turned out to be closed stays so."""
    await fail(book, "sg_0", "sg_1", "sg_2", reason=Reason.NOT_FOUND)
    failed_ms = book.clock.ms - 3000
    action_id = await begin(book, "discard", "sg_0", "sg_1", "sg_2")
    await carry(book, action_id)
    book.clock.forward(86_400)
    await book.ledger.reconcile([Observation("sg_1", True, 0)], audit="", others={})
    await book.redis.delete(key_of("c:sg_2"))
    done = await recalled(book, action_id)
    assert (done.changed, done.not_done) == (1, {"called": 1, "unknown": 1})
    now = await book.read("sg_0")
    assert (await book.state("sg_0"), now.reason, now.entered_ms) == (State.FAILED, Reason.NOT_FOUND, failed_ms)


async def test_a_recalled_item_is_as_if_it_had_not_been_requeued(book: Book) -> None:
    """It can be re-queued again, and its retries begin anew, without the lock that was asked for."""
    action_id = await requeued(book, "sg_0")
    await recalled(book, action_id)
    await carry(book, await begin(book, "requeue", "sg_0"))
    claim = await book.claim("sg_0")
    assert (claim.failures, claim.missing, claim.lock_first) == (0, 0, False)


async def test_recalled_items_leave_a_canary(book: Book) -> None:
    """And the action is not carried on: it is recalled."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS, canary=2)
    await carry(book, action_id)
    done = await recalled(book, action_id)
    assert (done.changed, (await carry(book, action_id)).state) == (2, BulkState.RECALLED)
    assert await states(book, *GROUPS) == [State.FAILED] * 4


async def test_a_recall_that_dies_is_carried_on(book: Book) -> None:
    """Each item returns once."""
    action_id = await requeued(book, *GROUPS)
    recall_id = await recall(book, action_id)
    await step(book, recall_id, most=1)
    book.clock.forward(60)
    assert await book.ledger.bulk.free() == [recall_id]
    assert (await carry(book, recall_id, "bob", most=1)).changed == 4


async def test_a_mark_that_is_lost_is_not_waited_for_for_ever(book: Book) -> None:
    """Another program has deleted the record of the item, so its attempt tells nothing."""
    action_id = await requeued(book, "sg_0")
    await book.claim("sg_0")
    pending = await recalled(book, action_id)
    await book.redis.delete(key_of("c:sg_0"))
    assert (await carry(book, pending.id)).state is BulkState.RUNNING
    book.clock.forward(3601)
    assert (await carry(book, pending.id)).state is BulkState.DONE


async def test_older_workers(book: Book) -> None:
    """While one is alive nothing is recalled, and what is re-queued meanwhile is not followed: it would not tell."""
    action_id = await requeued(book, "sg_0")
    await book.redis.hset(key_of("workers"), "old", f'{{"at": {book.clock.ms}, "ledger_version": 1}}')
    with pytest.raises(OlderWorkers, match="old"):
        await recall(book, action_id)
    await fail(book, "sg_1")
    other = await begin(book, "requeue", "sg_1")
    assert (await carry(book, other)).changed == 1
    assert not FIELDS & (await record(book, "sg_1")).keys()
    await book.redis.delete(key_of("workers"))
    assert (await recalled(book, other)).matched == 0
    assert (await recalled(book, action_id)).changed == 1


async def test_an_action_is_kept_while_it_is_recalled(book: Book) -> None:
    """One that ended long ago is not deleted under its recall."""
    action_id = await requeued(book, "sg_0")
    book.clock.forward(100)
    recall_id = await recall(book, action_id)
    while await book.ledger.bulk.prune(keep_s=50):
        pass
    assert (await carry(book, recall_id)).changed == 1
