"""Holds, on fakeredis and on a real Valkey: a held group is not claimed, whatever comes, until it is released."""

from __future__ import annotations

import json

import pytest

from tasks.closure import Outcome, Reason, State
from tasks.errors import OlderWorkers
from tasks.events.event import GroupComplete
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.holds import HoldWord
from tasks.ledger.values import Observation, Operated, Received, Reconciled, Settlement, Unclaimed
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, LEASE_S, Book
from tests.tasks.holding import assert_not_called, claim, hold, release


async def test_a_queued_closure_is_held_and_released(book: Book) -> None:
    """It tells who holds it, why and since when, and comes back with the time to its deadline that it had left."""
    await book.receive("sg_1")
    book.clock.forward(100)
    answer = await hold(book)
    assert (answer.word, answer.lease_s) == (HoldWord.HELD, None)
    found = (await book.read("sg_1")).hold
    assert found is not None
    assert found == answer.hold
    assert (found.by, found.why, found.door, found.at_ms) == (
        "anna",
        "trailer 42 is not complete",
        "cli",
        book.clock.ms,
    )
    assert await book.state("sg_1") is State.HELD
    await assert_not_called(book)
    assert await release(book) is HoldWord.RELEASED
    assert (await book.read("sg_1")).hold is None
    assert await book.state("sg_1") is State.QUEUED
    assert (await book.claim("sg_1")).remaining_s == DEADLINE_S - 100


async def test_a_released_closure_is_tried_for_a_minute_at_least(book: Book) -> None:
    """Although its deadline had nearly come when it was held."""
    await book.receive("sg_1")
    book.clock.forward(DEADLINE_S - 1)
    await hold(book)
    await release(book)
    assert (await book.claim("sg_1")).remaining_s == 60


async def test_a_retrying_closure_keeps_its_failures(book: Book) -> None:
    """Released, it is queued at once, and its next pauses go on from the failures that it has had."""
    await book.receive("sg_1")
    await book.settle(await book.claim("sg_1"), State.RETRYING, delay_s=300.0)
    await hold(book)
    assert await book.state("sg_1") is State.HELD
    await assert_not_called(book)
    await release(book)
    assert (await book.claim("sg_1")).failures == 1


async def test_a_failed_closure_comes_back_as_it_was(book: Book) -> None:
    """Same reason, same place in time."""
    await book.receive("sg_1")
    await book.failed("sg_1", Reason.NOT_LOCKED)
    failed_ms = (await book.read("sg_1")).entered_ms
    book.clock.forward(50)
    await hold(book)
    held = await book.read("sg_1")
    assert (held.state, held.reason) == (State.HELD, Reason.NOT_LOCKED)
    assert await book.ledger.requeue(["sg_1"]) == [Operated.IS_HELD]
    assert await book.ledger.discard(["sg_1"]) == [Operated.IS_HELD]
    await assert_not_called(book)
    await release(book)
    back = await book.read("sg_1")
    assert (await book.state("sg_1"), back.reason, back.entered_ms) == (State.FAILED, Reason.NOT_LOCKED, failed_ms)


@pytest.mark.parametrize("event_id", ["e1", "e2"])
async def test_an_event_for_a_held_failed_closure(book: Book, event_id: str) -> None:
    """A new event queues it at its release, with a new deadline; the event that it had already changes nothing."""
    await book.receive("sg_1")
    await book.failed("sg_1")
    await hold(book)
    assert await book.receive("sg_1", event_id=event_id) == [Received.DUPLICATE if event_id == "e1" else Received.HELD]
    assert await book.receive("sg_1", event_id=event_id) == [Received.DUPLICATE]
    await assert_not_called(book)
    await release(book)
    assert await book.state("sg_1") is (State.FAILED if event_id == "e1" else State.QUEUED)
    if event_id == "e2":
        claimed = await book.claim("sg_1")
        assert (claimed.remaining_s, claimed.failures) == (DEADLINE_S, 0)


async def test_a_group_is_held_before_its_event(book: Book) -> None:
    """Its event is remembered and not called; released, it is queued with all that the event said."""
    assert (await hold(book)).word is HoldWord.HELD
    assert await book.state("sg_1") is State.HELD
    assert await claim(book) is Unclaimed.UNKNOWN  # a message that names it may be the only trace of who asks for it
    event = GroupComplete("sg_1", "wms", "e1", "cage 5", "2026-01-01T00:00:00Z", "00-trace")
    assert await book.ledger.receive([event]) == [Received.HELD]
    assert await book.ledger.receive([event]) == [Received.DUPLICATE]
    assert await claim(book) is Unclaimed.HELD
    await assert_not_called(book)
    await release(book)
    closure = await book.read("sg_1")
    assert (closure.source, closure.event_id, closure.custom_reference) == ("wms", "e1", "cage 5")
    assert (await book.claim("sg_1")).remaining_s == DEADLINE_S


async def test_a_hold_without_any_event_is_forgotten(book: Book) -> None:
    """Released before anybody asked to close the group, it leaves nothing behind, and nothing is called."""
    await hold(book)
    assert await release(book) is HoldWord.FORGOTTEN
    assert await book.ledger.read(["sg_1"]) == [None]
    assert await claim(book) is Unclaimed.UNKNOWN
    assert await book.due() == []
    assert (await book.inspect()).happened == ""


@pytest.mark.parametrize("end", [State.QUEUED, State.RETRYING, State.FAILED])
async def test_an_attempt_under_way_ends_before_its_hold_takes_effect(book: Book, end: State) -> None:
    """Until then the hold is pending, and tells for how long at most; the result is written, then the group is held."""
    await book.receive("sg_1")
    claimed = await book.claim("sg_1")
    book.clock.forward(10)
    answer = await hold(book)
    assert (answer.word, answer.lease_s) == (HoldWord.PENDING, LEASE_S - 10)
    assert (await hold(book)).word is HoldWord.ALREADY
    assert await book.state("sg_1") is State.CLOSING
    assert await book.settle(claimed, end, reason=Reason.GONE if end is State.FAILED else None, delay_s=5.0)
    assert await book.state("sg_1") is State.HELD
    assert (await book.read("sg_1")).attempts == 1
    await assert_not_called(book)
    await release(book)
    assert await book.state("sg_1") is (State.FAILED if end is State.FAILED else State.QUEUED)


async def test_a_hold_that_comes_too_late(book: Book) -> None:
    """The attempt under way closes the group: it is closed, and no hold is left."""
    await book.receive("sg_1")
    claimed = await book.claim("sg_1")
    await hold(book)
    await book.closed(claimed)
    assert await book.state("sg_1") is State.CLOSED
    assert (await book.read("sg_1")).hold is None
    assert (await hold(book)).word is HoldWord.CLOSED


@pytest.mark.parametrize("who", ["sweep", "hold", "claim"])
async def test_a_lease_that_ends_without_a_word(book: Book, who: str) -> None:
    """Whoever finds it: the group is held, nothing is called, and its state is to be asked until there is an answer."""
    await book.receive("sg_1")
    claimed = await book.claim("sg_1")
    if who != "hold":
        await hold(book)
    book.clock.forward(LEASE_S)
    if who == "sweep":
        await book.due()
    elif who == "hold":
        await hold(book)
    else:
        await claim(book)
    assert await book.state("sg_1") is State.HELD
    assert await book.ledger.holds.to_ask(10, again_s=60) == ["sg_1"]
    assert await book.ledger.holds.to_ask(10, again_s=60) == []
    book.clock.forward(60)
    assert await book.ledger.holds.to_ask(10, again_s=60) == ["sg_1"]
    await book.ledger.holds.asked(["sg_1"])
    book.clock.forward(60)
    assert await book.ledger.holds.to_ask(10, again_s=60) == []
    assert not await book.settle(claimed, State.RETRYING, delay_s=1.0)
    await assert_not_called(book)


@pytest.mark.parametrize("by", ["result", "question"])
async def test_a_fact_closes_a_held_closure(book: Book, by: str) -> None:
    """A late result, or an answer of the API: the group is closed, and no hold is left."""
    await book.receive("sg_1")
    claimed = await book.claim("sg_1")
    book.clock.forward(LEASE_S)
    await hold(book)
    if by == "result":
        assert await book.closed(claimed, Outcome.CLOSED)
    else:
        words = await book.ledger.reconcile([Observation("sg_1", True, 0)], audit="", others={})
        assert words == [Reconciled.DONE]
    assert await book.state("sg_1") is State.CLOSED
    assert (await book.read("sg_1")).hold is None
    assert await book.ledger.holds.to_ask(10, again_s=60) == []


async def test_closed_and_discarded_closures_are_not_held(book: Book) -> None:
    """Nothing would call them, and the answer names the state."""
    await book.receive("sg_1", "sg_2")
    await book.closed(await book.claim("sg_1"))
    await book.failed("sg_2")
    await book.ledger.discard(["sg_2"])
    assert (await hold(book, "sg_1")).word is HoldWord.CLOSED
    assert (await hold(book, "sg_2")).word is HoldWord.DISCARDED
    assert [(await book.read(ref)).hold for ref in ("sg_1", "sg_2")] == [None, None]


async def test_the_first_hold_stands(book: Book) -> None:
    """A second one tells who holds the group; a release of what nobody holds does nothing."""
    await book.receive("sg_1", "sg_2")
    await hold(book)
    [second] = await book.ledger.holds.hold(["sg_1"], by="ben", why="me too")
    assert second.word is HoldWord.ALREADY
    assert second.hold is not None
    assert second.hold.by == "anna"
    assert await release(book, "sg_2") is HoldWord.NOT_HELD
    assert await book.state("sg_2") is State.QUEUED


async def test_no_hold_while_an_older_worker_is_alive(book: Book) -> None:
    """It would call a held group. A minute after its last sign of life the hold is taken, and it is refused."""
    await book.receive("sg_1")
    said = json.dumps({"at": book.clock.ms, "ledger_version": 1})
    await book.redis.hset(key_of("workers"), "old@host", said)
    with pytest.raises(OlderWorkers, match="old@host"):
        await hold(book)
    assert await book.state("sg_1") is State.QUEUED
    book.clock.forward(61)
    assert (await hold(book)).word is HoldWord.HELD
    assert await book.redis.hget(key_of("gate"), "version") == b"2"


async def test_holds_do_not_stop_what_others_settle(book: Book) -> None:
    """Of one batch of results only the held group is held."""
    await book.receive("sg_1", "sg_2")
    claims = [await book.claim(ref) for ref in ("sg_1", "sg_2")]
    await hold(book)
    packed = [pack_attempt(Attempt(one.at_ms, "w1")) for one in claims]
    both = [Settlement(one.reference, one.lease, State.QUEUED, line) for one, line in zip(claims, packed, strict=True)]
    assert (await book.ledger.settle(both)).written == [True, True]
    assert await book.state("sg_1") is State.HELD
    assert await book.state("sg_2") is State.QUEUED
