"""The reading side of the ledger: the same answers on the real store and on fakeredis."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tasks.closure import Reason, State
from tasks.ledger.catalogue import Catalogue, Cursor, Order, Query
from tests.operations.seed import Seed, plant
from tests.tasks.book import Book

SEEDS = [
    Seed("a-1", Reason.NOT_LOCKED, 409, "conflict", "wms-a", "group is open"),
    Seed("a-2", None, 200, None, "wms-b"),
    Seed("b-1", Reason.NOT_FOUND, 404, "not_found", 'wms "b"/ü'),
    Seed("b-2", Reason.NOT_LOCKED, 400, "validation_error", "wms-a", "Weird Detail"),
    Seed("c-1", Reason.DEADLINE_EXCEEDED, None, "timeout", "wms-b"),
    Seed("c-2", None, 304, None, "wms-a"),
]


class Shelf:
    """A catalogue of closures that entered their states at times we know: two in every second."""

    def __init__(self, redis: Redis) -> None:
        self.book = Book(redis)
        self.catalogue = Catalogue(redis, clock=self.book.clock)
        self.began = self.book.clock.ms

    async def fill(self, seeds: list[Seed]) -> None:
        """Two a second."""
        for at in range(0, len(seeds), 2):
            await plant(self.book.ledger, seeds[at : at + 2])
            self.book.clock.forward(1)

    async def all(self, query: Query, order: Order = "newest", limit: int = 100) -> list[str]:
        """Every reference that matches, page by page."""
        found: list[str] = []
        cursor: Cursor | None = None
        while True:
            page = await self.catalogue.page(query, limit=limit, order=order, cursor=cursor)
            found += [closure.reference for closure in page.closures]
            if page.next is None:
                return found
            cursor = Cursor.parse(str(page.next))


@pytest.fixture
async def shelf(any_store: Redis) -> Shelf:
    """The closures above."""
    made = Shelf(any_store)
    await made.fill(SEEDS)
    return made


@pytest.mark.parametrize(
    ("query", "found"),
    [
        (Query(), "a-1 a-2 b-1 b-2 c-1 c-2"),
        (Query(states=(State.CLOSED,)), "a-2 c-2"),
        (Query(reasons=(Reason.NOT_LOCKED,)), "a-1 b-2"),
        (Query(reasons=(Reason.NOT_LOCKED, Reason.NOT_FOUND)), "a-1 b-1 b-2"),
        (Query(states=(State.CLOSED,), reasons=(Reason.NOT_LOCKED,)), ""),
        (Query(statuses=("409", "304")), "a-1 c-2"),
        (Query(codes=("timeout",)), "c-1"),
        (Query(sources=("wms-a",)), "a-1 b-2 c-2"),
        (Query(sources=('wms "b"/ü',)), "b-1"),
        (Query(attempts_over=0), "a-1 a-2 b-1 b-2 c-1 c-2"),
        (Query(attempts_over=1), ""),
        (Query(prefix="b-"), "b-1 b-2"),
        (Query(text="WEIRD"), "b-2"),
        (Query(text="C-1"), "c-1"),
        (Query(text='"b"/'), "b-1"),
        (Query(text="failed"), "a-1 b-1 b-2 c-1"),
        (Query(text='"s":"failed"'), ""),
        (Query(reasons=(Reason.NOT_LOCKED,), sources=("wms-a",), codes=("conflict",)), "a-1"),
    ],
)
async def test_filters_combine(shelf: Shelf, query: Query, found: str) -> None:
    """A query finds exactly the closures for which every condition holds."""
    assert sorted(await shelf.all(query)) == found.split()


async def test_since_and_until_are_about_when_a_state_was_entered(shelf: Shelf) -> None:
    """Both ends of the period are included."""
    began = shelf.began
    assert sorted(await shelf.all(Query(since_ms=began + 1000, until_ms=began + 1000))) == ["b-1", "b-2"]
    assert sorted(await shelf.all(Query(since_ms=began + 1001))) == ["c-1", "c-2"]


@pytest.mark.parametrize("order", ["newest", "oldest"])
@pytest.mark.parametrize("limit", [1, 2, 3, 5, 6, 100])
async def test_pages_of_any_size_hold_every_closure_once_in_order(shelf: Shelf, order: Order, limit: int) -> None:
    """This holds also where a page ends between two closures of the same millisecond, in one state or two."""
    found = await shelf.all(Query(), order, limit)
    assert sorted(found) == sorted(seed.reference for seed in SEEDS)
    seconds = [reference[0] for reference in found]
    assert seconds == sorted(seconds, reverse=order == "newest")


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_page_goes_on_where_the_last_one_ended_though_closures_have_moved(shelf: Shelf, order: Order) -> None:
    """This holds also when the closure that the cursor names has changed its state."""
    query = Query(states=(State.FAILED,))
    first = await shelf.catalogue.page(query, limit=2, order=order)
    names = [closure.reference for closure in first.closures]
    assert await shelf.book.ledger.requeue(names) == ["done", "done"]
    rest = await shelf.catalogue.page(query, limit=10, order=order, cursor=first.next)
    assert sorted(names + [closure.reference for closure in rest.closures]) == ["a-1", "b-1", "b-2", "c-1"]


async def test_many_of_one_millisecond_are_paged_through(any_store: Redis) -> None:
    """A cursor finds its place among thousands that entered their state together."""
    shelf = Shelf(any_store)
    seeds = [Seed(f"sg_{n:05d}", Reason.GONE, 410) for n in range(1200)]
    await plant(shelf.book.ledger, seeds)
    assert await shelf.all(Query(), "oldest", 500) == [seed.reference for seed in seeds]
    assert await shelf.all(Query(states=(State.FAILED,)), "newest", 500) == [seed.reference for seed in seeds[::-1]]


async def test_groups_count_and_name_the_oldest(shelf: Shelf) -> None:
    """Closures are counted by reason, source or code of the last reply; those that have none are counted, too."""
    by_reason = await shelf.catalogue.groups(Query(), "reason")
    assert {value: group.count for value, group in by_reason.items()} == {
        None: 2, "not_locked": 2, "not_found": 1, "deadline_exceeded": 1,
    }  # fmt: skip
    assert (by_reason["not_locked"].oldest_reference, by_reason["not_locked"].oldest_ms) == ("a-1", shelf.began)
    by_code = await shelf.catalogue.groups(Query(states=(State.FAILED,)), "code")
    assert {*by_code} == {"conflict", "not_found", "validation_error", "timeout"}
    assert {*await shelf.catalogue.groups(Query(), "source")} == {"wms-a", "wms-b", 'wms "b"/ü'}


async def test_references_come_with_their_states(shelf: Shelf) -> None:
    """All that match come, oldest first, however many they are."""
    found = [(reference, state) async for reference, state, _ in shelf.catalogue.references(Query(prefix="a-"))]
    assert sorted(found) == [("a-1", State.FAILED), ("a-2", State.CLOSED)]


async def test_references_of_what_cannot_be(shelf: Shelf) -> None:
    """A closed closure has no reason, so none matches both."""
    query = Query(states=(State.CLOSED,), reasons=(Reason.GONE,))
    assert [one async for one in shelf.catalogue.references(query)] == []


async def test_the_summary_counts_what_there_is(shelf: Shelf) -> None:
    """It counts states, reasons and what was closed lately, and tells the oldest open closure by its event's time."""
    await shelf.book.receive("new-1")
    shelf.book.clock.forward(59)
    await shelf.book.receive("new-2")
    await shelf.book.claim("new-1")
    summary = await shelf.catalogue.summary("events")
    assert summary.states[State.QUEUED] == summary.states[State.CLOSING] == 1
    assert (summary.states[State.CLOSED], summary.states[State.FAILED]) == (2, 4)
    assert summary.failed == {Reason.NOT_LOCKED: 2, Reason.NOT_FOUND: 1, Reason.DEADLINE_EXCEEDED: 1}
    assert (summary.closed_last_minute, summary.closed_last_hour) == (1, 2)
    assert summary.oldest_open_ms == shelf.began + 3000


async def test_a_closure_is_open_until_it_ends_and_again_when_it_is_queued_again(shelf: Shelf) -> None:
    """The age of the oldest open one is never taken from one that has failed or is closed."""
    assert (await shelf.catalogue.summary("events")).oldest_open_ms is None
    await shelf.book.ledger.requeue(["b-1"])
    assert (await shelf.catalogue.summary("events")).oldest_open_ms == shelf.began + 1000
    await shelf.book.closed(await shelf.book.claim("b-1"))
    assert (await shelf.catalogue.summary("events")).oldest_open_ms is None
