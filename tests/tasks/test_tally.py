"""The counts: each thing that happens is counted once, in the step in which it happens, and bounded whatever comes."""

from __future__ import annotations

from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.ledger.audit import Announced
from tasks.ledger.measures import Measured
from tasks.ledger.tally import Intake, Rates, Tally
from tests.support import STREAM, key_of
from tests.tasks.book import DEADLINE_S, LEASE_S, START_MS, Book
from tests.tasks.noticed import reject

OTHERS = ("duplicate", "requeued", "rejected")


async def measured(book: Book) -> Measured:
    """The numbers now."""
    return await book.ledger.measures.read(STREAM)


async def counts(book: Book) -> dict[str, int]:
    """All counts."""
    return dict((await measured(book)).tally.totals)


async def test_nothing_has_happened(book: Book) -> None:
    """An empty ledger has no counts, and nothing in it is old."""
    assert await measured(book) == Measured(START_MS, 0, 0, Tally({}, {}))
    assert (await measured(book)).last_hour == Rates()
    assert ((await measured(book)).overdue_s, (await measured(book)).intake_oldest_s) == (0, 0)


async def test_events(book: Book) -> None:
    """By the way that they came, and by what became of them."""
    await book.receive("sg_1", "sg_2")
    await book.receive("sg_1", event_id="e2")
    await book.failed("sg_2")
    await book.receive("sg_2", event_id="e3")
    await book.ledger.receive([], intake=Intake.TASK)
    await reject(book, 1)
    found = await measured(book)
    of_stream = {outcome: found.tally.of("events", "stream", outcome) for outcome in ("new", *OTHERS)}
    assert of_stream == {"new": 2, "duplicate": 1, "requeued": 1, "rejected": 1}
    assert found.last_event_ms == START_MS
    assert found.last_hour == Rates(events=5, attempts=1, closed=0, failures=1)


async def test_attempts_and_their_ends(book: Book) -> None:
    """By verdict, outcome and reason. A lease that ended without a result is an attempt, too, and is lost."""
    await book.receive("sg_1", "sg_2", "sg_3")
    claim = await book.claim("sg_1")
    assert await book.closed(claim, Outcome.ALREADY_CLOSED)
    assert not await book.closed(claim, Outcome.ALREADY_CLOSED)  # it is written already, and not counted again
    await book.failed("sg_2", Reason.NOT_LOCKED)
    await book.claim("sg_3")
    book.clock.forward(LEASE_S + 1)
    await book.due()
    found = await counts(book)
    assert found["attempts:closed"] == found["attempts:failed"] == found["attempts:lost"] == 1
    assert found["closed:already_closed"] == found["failures:not_locked"] == 1


async def test_a_result_that_is_written_twice(book: Book) -> None:
    """When the store's answer was lost, the second try counts nothing."""
    await book.receive("sg_1")
    claim = await book.claim("sg_1")
    await book.closed(claim)
    before = await counts(book)
    await book.closed(claim)
    assert await counts(book) == before


async def test_the_gate_and_operators(book: Book) -> None:
    """Each reason that shuts the gate, also one that comes when it is shut already; and each action."""
    await book.ledger.gate.pause(by="ann", why="x")
    await book.ledger.gate.pause(by="ann", why="x")
    await book.ledger.gate.throttle(60)
    await book.ledger.gate.resume(by="ann", why="x")
    await book.ledger.audit.announce(Announced("ann", "requeue", None, "x"), 1)
    book.clock.forward(61)
    await book.receive("sg_1")
    await book.settle(await book.claim("sg_1"), State.QUEUED, health=ApiHealth.UNAUTHORISED)
    found = await counts(book)
    assert (found["gate_shut:paused"], found["gate_shut:throttled"], found["gate_shut:unauthorised"]) == (1, 1, 1)
    assert (found["actions:pause"], found["actions:resume"], found["actions:requeue"]) == (2, 1, 1)


async def test_the_last_hour(book: Book) -> None:
    """What happened before it does not count any more; the marks never become more than one for each minute of it."""
    for minute in range(200):
        await book.receive(f"sg_{minute}")
        book.clock.forward(60)
    assert (await measured(book)).last_hour.events == 60
    assert await book.redis.hlen(key_of("marks")) == 61
    book.clock.forward(1800)
    assert (await measured(book)).last_hour.events == 30
    book.clock.forward(1800)
    assert (await measured(book)).last_hour == Rates()


async def test_what_another_program_writes_there(book: Book, any_store: Redis) -> None:
    """It stops nothing and is not counted; a count that is no number begins anew."""
    await any_store.hset(key_of("tally"), mapping={"events:stream:new": "many", b"\xff:x": "5", "closed:x": "9" * 30})
    await any_store.hset(key_of("marks"), mapping={"0": "x", "1": "1 2 3"})
    await book.receive("sg_1")
    found = await measured(book)
    assert found.tally.of("events", "stream", "new") == 1
    assert found.tally.of("closed", "x") == 0
    for key in ("tally", "marks"):
        await any_store.set(key_of(key), "foreign")
    await book.receive("sg_2")
    assert (await measured(book)).tally == Tally({}, {})


async def test_counts_that_were_deleted(book: Book, any_store: Redis) -> None:
    """They begin anew; the rate is never less than nothing."""
    await book.receive("sg_1", "sg_2", "sg_3")
    book.clock.forward(60)
    await book.receive("sg_4")
    await any_store.delete(key_of("tally"))
    await book.receive("sg_5")
    found = await measured(book)
    assert (found.tally.of("events", "stream", "new"), found.last_hour.events) == (1, 1)


async def test_what_is_due_and_old(book: Book) -> None:
    """What nobody takes is overdue; age and deadline stand still while the gate is shut."""
    await book.receive("sg_1")
    book.clock.forward(100)
    found = await measured(book)
    assert (found.due, found.overdue_s, found.clock_age_s, found.near_deadline) == (1, 100, 100, 0)
    await book.ledger.gate.pause(by="ann", why="x")
    book.clock.forward(10 * DEADLINE_S)
    found = await measured(book)
    assert (found.clock_age_s, found.near_deadline) == (100, 0)
    await book.ledger.gate.resume(by="ann", why="x")
    book.clock.forward(0.95 * DEADLINE_S - 100)
    found = await measured(book)
    assert (found.clock_age_s, found.near_deadline) == (0.95 * DEADLINE_S, 1)
    await book.claim("sg_1")
    found = await measured(book)
    assert (found.due, found.overdue_s) == (0, 0)


async def test_a_closure_that_was_queued_again(book: Book) -> None:
    """It has a new deadline, so its clock has begun anew."""
    await book.receive("sg_1")
    await book.failed("sg_1")
    book.clock.forward(10 * DEADLINE_S)
    await book.ledger.requeue(["sg_1"])
    book.clock.forward(7)
    assert (await measured(book)).clock_age_s == 7


async def test_the_last_close(book: Book) -> None:
    """It is the newest one."""
    await book.receive("sg_1", "sg_2")
    await book.closed(await book.claim("sg_1"))
    book.clock.forward(5)
    await book.closed(await book.claim("sg_2"))
    book.clock.forward(5)
    assert (await measured(book)).last_close_ms == START_MS + 5000


async def test_a_record_that_cannot_be_read(book: Book, any_store: Redis) -> None:
    """It is left out of what is old."""
    await book.receive("sg_1")
    await any_store.set(key_of("c:sg_1"), "x")
    assert (await measured(book)).clock_age_s is None


async def test_events_that_are_not_taken_in(book: Book, any_store: Redis) -> None:
    """The age of the oldest: of one that was read and not acknowledged, else of the first that nobody has read."""
    await any_store.xgroup_create(STREAM, "closer", id="0", mkstream=True)
    assert (await measured(book)).intake_oldest_s == 0
    await any_store.xadd(STREAM, {"event": "x"}, id=f"{START_MS - 5000}-0")
    assert (await measured(book)).intake_oldest_s == 5
    await any_store.xreadgroup("closer", "w1", {STREAM: ">"})
    await any_store.xadd(STREAM, {"event": "x"}, id=f"{START_MS - 1000}-0")
    assert (await measured(book)).intake_oldest_s == 5
    await any_store.xack(STREAM, "closer", f"{START_MS - 5000}-0")
    assert (await measured(book)).intake_oldest_s == 1


async def test_where_one_closure_stands(book: Book, any_store: Redis) -> None:
    """When it is due, and what is left to its deadline; nothing of one that has ended, is unknown or damaged."""
    await book.receive("sg_1", "sg_2", "sg_3")
    await book.failed("sg_2")
    await any_store.set(key_of("c:sg_3"), "x")
    book.clock.forward(100)
    place = await book.ledger.measures.place("sg_1")
    assert (place.due_ms, place.overdue_s, place.left_s) == (START_MS, 100, DEADLINE_S - 100)
    book.clock.forward(DEADLINE_S)
    assert (await book.ledger.measures.place("sg_1")).left_s == -100
    for reference in ("sg_2", "sg_3", "sg_9"):
        nowhere = await book.ledger.measures.place(reference)
        assert (nowhere.due_ms, nowhere.left_s, nowhere.overdue_s) == (None, None, 0)
