"""The notifier's lease: one in the fleet has it, and where it has come to outlives it."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tasks.closure import Reason
from tasks.ledger.alerts import AlertLease, Delivery
from tasks.ledger.notices import Notices
from tests.support import STREAM, key_of
from tests.tasks.book import Book
from tests.tasks.noticed import fail, told

LEASE_S = 30.0
TEXT = "No worker is alive."


@pytest.fixture
def ours(book: Book) -> AlertLease:
    """One notifier's."""
    return book.ledger.alert_lease("one")


@pytest.fixture
def theirs(book: Book) -> AlertLease:
    """Another one's."""
    return book.ledger.alert_lease("two")


async def counted(book: Book, outcome: str) -> int:
    """How often that became of a message."""
    return (await book.ledger.measures.read(STREAM)).tally.of("alerts", outcome)


async def test_one_holds_it(book: Book, ours: AlertLease, theirs: AlertLease) -> None:
    """Who has it keeps it by asking again; another one gets it when it has ended, and goes on at the same place."""
    assert await ours.hold(LEASE_S) == "0-0/0"
    book.clock.forward(LEASE_S - 1)
    assert await theirs.hold(LEASE_S) is None
    assert await ours.hold(LEASE_S) is not None
    assert await ours.done("5-0/7", Delivery.DELIVERED)
    book.clock.forward(LEASE_S)
    assert await theirs.hold(LEASE_S) == "5-0/7"
    assert await ours.hold(LEASE_S) is None


async def test_who_has_lost_it_changes_nothing(book: Book, ours: AlertLease, theirs: AlertLease) -> None:
    """A notifier that stood still meanwhile neither moves the place nor tells anything."""
    await ours.hold(LEASE_S)
    book.clock.forward(LEASE_S)
    await theirs.hold(LEASE_S)
    assert not await ours.done("9-0/9", Delivery.DELIVERED)
    assert not await ours.troubles({"no_workers": TEXT})
    assert await theirs.hold(LEASE_S) == "0-0/0"
    assert await counted(book, "delivered") == 0


async def test_the_first_ever_begins_now(book: Book, notices: Notices, ours: AlertLease) -> None:
    """What was told before anybody wanted alerts is not sent."""
    await book.ledger.gate.pause(by="ann", why="x")
    cursor = await ours.hold(LEASE_S)
    assert cursor is not None
    assert (await notices.read(after=cursor)).notices == []
    await book.ledger.gate.resume(by="ann", why="x")
    page = await notices.read(after=cursor)
    assert (len(page.notices), page.missed) == (1, 0)


async def test_a_clock_that_is_set_back(book: Book, ours: AlertLease, theirs: AlertLease) -> None:
    """A lease that ends too far ahead is nobody's."""
    await ours.hold(LEASE_S)
    book.clock.forward(-3600)
    assert await theirs.hold(LEASE_S) is not None


async def test_deliveries_are_counted(book: Book, ours: AlertLease) -> None:
    """By what became of them; what needs no message is not counted."""
    await ours.hold(LEASE_S)
    for outcome in (Delivery.DELIVERED, Delivery.EXPIRED, None):
        await ours.done("5-0/7", outcome)
    await ours.failed()
    assert [await counted(book, outcome) for outcome in Delivery] == [1, 1, 1]


async def test_a_trouble_is_told_once_and_its_end_once(
    book: Book, notices: Notices, ours: AlertLease, theirs: AlertLease
) -> None:
    """Also when another notifier takes over meanwhile, and whatever its words are by then."""
    await ours.hold(LEASE_S)
    for text in (TEXT, "other words"):
        assert await ours.troubles({"no_workers": text})
    book.clock.forward(LEASE_S)
    await theirs.hold(LEASE_S)
    await theirs.troubles({"no_workers": TEXT})
    book.clock.forward(10)
    await theirs.troubles({})
    await theirs.troubles({})
    assert [(kind.value, fields) for kind, fields in await told(notices)] == [
        ("trouble", {"what": "no_workers", "text": TEXT}),
        ("recovered", {"what": "no_workers", "text": TEXT, "lasted_ms": 40_000}),
    ]


async def test_each_tenfold_of_failures_is_told(book: Book, notices: Notices, ours: AlertLease) -> None:
    """The tenth that stands failed for a reason, then the hundredth; and again when all had been dealt with."""
    await ours.hold(LEASE_S)
    groups = [f"sg_{number}" for number in range(100)]
    for begin, end in ((0, 9), (9, 10), (10, 99), (99, 100)):
        await fail(book, *groups[begin:end], reason=Reason.NOT_LOCKED)
        await ours.troubles({})
    await book.ledger.discard(groups[:95])
    await ours.troubles({})
    await book.ledger.discard(groups[95:])
    await ours.troubles({})
    await fail(book, *(f"again_{number}" for number in range(10)), reason=Reason.NOT_LOCKED)
    await ours.troubles({})
    growing = [fields for kind, fields in await told(notices) if kind.value == "failures_growing"]
    assert growing == [{"reason": "not_locked", "count": count} for count in (10, 100, 10)]


async def test_what_another_program_writes_there(book: Book, any_store: Redis, ours: AlertLease) -> None:
    """A lease that cannot be read is nobody's, and a trouble that cannot be read is over."""
    await any_store.hset(key_of("alerts"), mapping={"holder": "x", "until": "soon", "trouble:x": "y", "cursor": "c"})
    assert await ours.hold(LEASE_S) == "c"
    assert await ours.troubles({})
