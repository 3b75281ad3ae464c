"""The time before which a group is not closed, on both stores: an event's own, and the fleet's delay."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.closure import Reason, State
from tasks.events.event import GroupComplete
from tasks.ledger.catalogue import Catalogue
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.values import Claim, Received, Unclaimed
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, GRACE_S, LEASE_S, START_MS, Book

HOUR_S = 3600.0
DAY_S = 86_400.0


def event(seconds: float | None, event_id: str = "e1") -> GroupComplete:
    """An event that asks not to close before so many seconds after the start."""
    not_before_ms = None if seconds is None else START_MS + round(seconds * 1000)
    return GroupComplete("sg_1", "wms", event_id, not_before_ms=not_before_ms)


async def receive(book: Book, seconds: float | None, event_id: str = "e1") -> Received:
    """Receive it."""
    [word] = await book.ledger.receive([event(seconds, event_id)])
    return word


async def claim(book: Book) -> Claim | Unclaimed:
    """What a foreign message gets that names the group."""
    return (await book.ledger.claim(["sg_1"], worker="w1", lease_s=LEASE_S))["sg_1"]


async def set_delay(book: Book, seconds: float) -> None:
    """A worker starts with CLOSER_CLOSE_DELAY."""
    await book.ledger.policy.start(FleetPolicy(DEADLINE_S, 0.0, "events", close_delay_s=seconds))


async def assert_waits_until(book: Book, seconds: float) -> None:
    """It is not due and cannot be claimed a moment before; then it is, with all of its deadline left."""
    book.clock.ms = START_MS + round(seconds * 1000) - 1
    assert await claim(book) is Unclaimed.NO
    assert await book.due() == []
    book.clock.ms += 1
    assert await book.due() == ["sg_1"]
    assert (await book.claim("sg_1")).remaining_s == DEADLINE_S


async def test_an_event_with_a_time(book: Book) -> None:
    """Its group is not attempted before then, and shows when it will be; its deadline counts from then."""
    assert await receive(book, HOUR_S) is Received.NEW
    assert await book.state("sg_1") is State.QUEUED
    assert (await book.read("sg_1")).next_attempt_ms == START_MS + HOUR_S * 1000
    await assert_waits_until(book, HOUR_S)
    assert (await book.read("sg_1")).next_attempt_ms is None


async def test_a_time_that_has_passed(book: Book) -> None:
    """It changes nothing."""
    await receive(book, -5)
    assert await book.due() == ["sg_1"]


@pytest.mark.parametrize(("seconds", "word"), [(30 * DAY_S, Received.NEW), (30 * DAY_S + 0.001, Received.TOO_FAR)])
async def test_at_most_thirty_days_ahead(book: Book, seconds: float, word: Received) -> None:
    """By the store's clock; an event with a later time is not received, and nothing is written."""
    assert await receive(book, seconds) is word
    assert (word.problem is None) == (await book.ledger.read(["sg_1"]) != [None])


@pytest.mark.parametrize(("first", "second"), [(HOUR_S, 2 * HOUR_S), (2 * HOUR_S, HOUR_S), (2 * HOUR_S, None)])
async def test_the_later_of_two_times_counts(book: Book, first: float, second: float | None) -> None:
    """Whichever came first."""
    await receive(book, first)
    assert await receive(book, second, "e2") is Received.DUPLICATE
    await assert_waits_until(book, 2 * HOUR_S)


async def test_a_later_event_takes_a_group_back_from_its_message(book: Book) -> None:
    """A task message names the group already when an event asks to wait: the message gets nothing."""
    await receive(book, None)
    assert await book.due() == ["sg_1"]
    await receive(book, HOUR_S, "e2")
    assert await book.redis.zcard(key_of("dispatched")) == 0
    await book.ledger.undispatch(["sg_1"])
    await assert_waits_until(book, HOUR_S)


@pytest.mark.parametrize("state", [State.RETRYING, State.CLOSING, State.FAILED])
async def test_a_time_that_comes_while_the_group_is_worked_on(book: Book, state: State) -> None:
    """A retry, a hand-back and a new try after a failure all wait for it."""
    await receive(book, None)
    claimed = await book.claim("sg_1")
    if state is State.FAILED:
        await book.settle(claimed, State.FAILED, reason=Reason.GONE)
    elif state is State.RETRYING:
        await book.settle(claimed, State.RETRYING, delay_s=5.0)
    await receive(book, HOUR_S, "e2")
    if state is State.CLOSING:
        await book.settle(claimed, State.QUEUED)
    assert await claim(book) is Unclaimed.NO
    book.clock.forward(HOUR_S - 1)
    assert await book.due() == []
    book.clock.forward(1)
    assert await book.due() == ["sg_1"]


async def test_an_operator_does_not_undercut_the_time(book: Book) -> None:
    """A re-queue, and a release, wait for it too."""
    await receive(book, None)
    claimed = await book.claim("sg_1")
    await receive(book, HOUR_S, "e2")
    await book.settle(claimed, State.FAILED, reason=Reason.GONE)
    await book.ledger.requeue(["sg_1"])
    assert await claim(book) is Unclaimed.NO
    await book.ledger.holds.hold(["sg_1"], by="anna", why="test")
    await book.ledger.holds.release(["sg_1"])
    await assert_waits_until(book, HOUR_S)


async def test_an_event_with_a_time_for_a_held_group(book: Book) -> None:
    """Released before then, it waits."""
    await book.ledger.holds.hold(["sg_1"], by="anna", why="test")
    assert await receive(book, HOUR_S) is Received.HELD
    await book.ledger.holds.release(["sg_1"])
    await assert_waits_until(book, HOUR_S)


async def test_the_delay_of_the_fleet(book: Book) -> None:
    """Each event waits for it before the first attempt; a re-queue by an operator does not."""
    await set_delay(book, 600)
    await receive(book, None)
    await assert_waits_until(book, 600)
    book.clock.forward(LEASE_S)
    assert await book.due() == ["sg_1"]
    await book.failed("sg_1")
    await book.ledger.requeue(["sg_1"])
    assert await book.due() == ["sg_1"]
    await book.failed("sg_1")
    assert await receive(book, None, "e2") is Received.REQUEUED
    assert await claim(book) is Unclaimed.NO
    book.clock.forward(600)
    assert await book.due() == ["sg_1"]


async def test_the_later_of_delay_and_time_counts(book: Book) -> None:
    """Whichever of the two it is."""
    await set_delay(book, 600)
    await receive(book, 300)
    await assert_waits_until(book, 600)


async def test_those_that_wait_are_not_counted_as_late(book: Book) -> None:
    """Their age begins when their time has come; they are counted as waiting."""
    await receive(book, HOUR_S)
    catalogue = Catalogue(book.redis, clock=book.clock)
    summary = await catalogue.summary("events")
    assert (summary.oldest_open_ms, summary.waiting, summary.states[State.QUEUED]) == (None, 1, 1)
    book.clock.forward(HOUR_S + 5)
    summary = await catalogue.summary("events")
    assert (summary.oldest_open_ms, summary.waiting) == (START_MS + HOUR_S * 1000, 0)


class Watch:
    """This process's own clock (s)."""

    def __init__(self) -> None:
        self.s = 0.0

    def __call__(self) -> float:
        return self.s


@pytest.mark.parametrize("jump_s", [-2 * HOUR_S, 2 * HOUR_S])
@pytest.mark.parametrize("absolute", [True, False])
async def test_the_stores_clock_is_set(any_store: Redis, jump_s: float, absolute: bool) -> None:
    """An event's time is compared with the clock as it stands. The fleet's delay lasts as long as it would have."""
    watch = Watch()
    book = Book(any_store, watch)
    if not absolute:
        await set_delay(book, 3 * HOUR_S)
    await receive(book, 3 * HOUR_S if absolute else None)
    book.clock.forward(jump_s)
    watch.s += 1
    assert await book.due() == []
    waits_s = 3 * HOUR_S - (jump_s if absolute else 0)
    for seconds, due in ((waits_s - 60, []), (60 + GRACE_S, ["sg_1"])):
        book.clock.forward(seconds)
        watch.s += seconds
        assert await book.due() == due
        assert isinstance(await claim(book), Claim) == bool(due)


@pytest.mark.parametrize("lost", ["agenda", "waiting"])
async def test_a_lost_index_makes_nothing_early(book: Book, lost: str) -> None:
    """The record keeps the time. The inspection finds it again, and nothing is claimed before it."""
    await receive(book, HOUR_S)
    await book.redis.delete(key_of(lost))
    await book.inspect()
    assert await book.due() == []
    await assert_waits_until(book, HOUR_S)


async def test_a_time_the_store_cannot_keep(book: Book) -> None:
    """A script that gets such an event fails before its first write."""
    wrong: Any = GroupComplete("sg_1", "wms", "e1", not_before_ms=-1)
    with pytest.raises(Exception, match="this is not an event"):
        await book.ledger.receive([wrong])
