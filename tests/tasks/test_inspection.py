"""The agenda or an index is deleted: it is found, and rebuilt, by itself; what had ended is never attempted again."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tasks.closure import OPEN_STATES, Reason, State
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.values import Received, Settlement, Unclaimed
from tests.fake_store import FakeStore
from tests.support import key_of
from tests.tasks.book import LEASE_S, START_MS, Book

INDEXES = ["agenda", "open", *State, "failed:gone"]
STATES = {
    "queued": State.QUEUED,
    "sent": State.QUEUED,
    "closing": State.CLOSING,
    "retrying": State.RETRYING,
    "failed": State.FAILED,
    "closed": State.CLOSED,
    "discarded": State.DISCARDED,
    "held": State.HELD,
}
UNFINISHED = sorted(ref for ref, state in STATES.items() if state in OPEN_STATES)
NOTHING = ("", 0, 0, 0, 0, 0)
LOSSES = {
    **{index: [index] for index in INDEXES},
    "dispatched": ["dispatched"],
    "agenda and queued": ["agenda", "queued"],
    "agenda, queued and open": ["agenda", "queued", "open"],
    "all that is unfinished": ["agenda", "open", "dispatched", *OPEN_STATES],
    "all indexes": [*INDEXES, "dispatched"],
    "all but the records": [*INDEXES, "dispatched", "inspection", "gate", "workers", "audit"],
    "the inspection": ["inspection"],
}


async def fill(book: Book) -> None:
    """A closure in each state; the inspection has nothing to say."""
    await book.receive("sent", "closing", "retrying", "failed", "closed", "discarded", "held")
    await book.ledger.holds.hold(["held"], by="anna", why="test")
    await book.claim("closing")
    await book.settle(await book.claim("retrying"), State.RETRYING, delay_s=100)
    await book.failed("failed")
    await book.failed("discarded")
    await book.ledger.discard(["discarded"])
    await book.closed(await book.claim("closed"))
    assert await book.due() == ["sent"]
    await book.receive("queued")
    found = await book.inspect()
    assert (found.happened, found.agenda, found.index, found.stale, found.aside, found.unknown) == NOTHING


async def members(book: Book, index: str) -> dict[str, float]:
    """An index as it is."""
    listed: Any = await book.redis.zrange(key_of(index), 0, -1, withscores=True)
    return {ref.decode(): score for ref, score in listed}


async def finish(book: Book) -> set[str]:
    """Close what is due until nothing is; which groups that were."""
    done: set[str] = set()
    for _ in range(6):
        book.clock.forward(LEASE_S)
        for reference in await book.due():
            await book.closed(await book.claim(reference))
            done.add(reference)
    return done


@pytest.mark.parametrize("loss", LOSSES)
async def test_what_is_deleted_is_rebuilt(book: Book, loss: str) -> None:
    """Each index holds what it held before, and exactly the groups that were unfinished are closed."""
    await fill(book)
    before = {index: await members(book, index) for index in INDEXES}
    await book.redis.delete(*(key_of(key) for key in LOSSES[loss]))
    found = await book.inspect()
    for index in INDEXES:
        assert sorted(await members(book, index)) == sorted(before[index]), index
    assert await members(book, "open") == before["open"]
    assert (found.agenda, found.stale, found.unknown) == (4 if "agenda" in LOSSES[loss] else 0, 0, 0)
    assert [await book.state(reference) for reference in STATES] == list(STATES.values())
    assert sorted(await finish(book)) == UNFINISHED
    assert await book.state("failed") is State.FAILED
    assert (await book.inspect()).happened == ""


async def test_plans_are_kept_as_far_as_they_are_known(book: Book) -> None:
    """A retry still waits as long as was decided, and a call that may be in flight is given the whole lease."""
    await fill(book)
    await book.receive("told")
    claim = await book.claim("told")
    packed = pack_attempt(
        Attempt(claim.at_ms, "w1", duration_ms=250, verdict="unavailable", decision="retry in 3600.0 s")
    )
    await book.ledger.settle([Settlement("told", claim.lease, State.RETRYING, packed, delay_s=3600)])
    before = await members(book, "agenda")
    await book.redis.delete(key_of("agenda"))
    await book.ledger.inspector.step(lease_s=LEASE_S)
    assert await book.agenda("queued") == 0
    assert await book.agenda("closing") == LEASE_S
    after = await members(book, "agenda")
    assert before["told"] <= after["told"] <= before["told"] + 500


async def test_until_then_nobody_takes_it_over(book: Book) -> None:
    """While the agenda is lost nobody knows when a lease ends: a closure in somebody's hands stays there."""
    await fill(book)
    await book.redis.delete(key_of("agenda"))
    claims = await book.ledger.claim(["closing", "retrying"], worker="w2", lease_s=LEASE_S)
    assert set(claims.values()) == {Unclaimed.NO}


async def test_it_is_told_and_audited(book: Book) -> None:
    """The first find and the end are told once, and the audit has one entry by closer with what was changed."""
    await fill(book)
    await book.redis.delete(key_of("agenda"))
    words = []
    for _ in range(100):
        found = await book.ledger.inspector.step(lease_s=LEASE_S)
        book.clock.ms += round(found.wait_s * 1000)
        words += [found.happened] if found.happened else []
    assert words == ["found", "ended"]
    entries: Any = await book.redis.xrange(key_of("audit"))
    [(entry_id, announced), (_, result)] = [entry for entry in entries if entry[1].get(b"action") != b"discard"]
    assert (announced[b"by"], announced[b"action"]) == (b"closer", b"rebuild")
    assert (result[b"of"], result[b"changed"]) == (entry_id, b"4")


async def test_a_healthy_ledger_is_left_alone(book: Book) -> None:
    """Between two rounds a look costs nothing and changes nothing; after six hours the next round begins."""
    await fill(book)
    book.clock.forward(5 * 3600)
    assert (await book.ledger.inspector.step(lease_s=LEASE_S)).wait_s == 10
    book.clock.forward(3600)
    assert (await book.ledger.inspector.step(lease_s=LEASE_S)).wait_s == 1
    assert (await book.inspect()).happened == ""


async def test_many_in_short_steps(any_store: Redis) -> None:
    """However many closures there are, a step looks at a few; workers share the steps, and none comes too soon."""
    book = Book(any_store)
    for start in range(0, 1200, 300):
        await book.receive(*(f"sg_{number}" for number in range(start, start + 300)))
    await book.redis.delete(key_of("agenda"), key_of("queued"), key_of("open"))
    steps = 0
    while (found := await book.ledger.inspector.step(lease_s=LEASE_S)).happened != "ended":
        steps += 1
        assert found.agenda <= 300 * steps
        again = await book.ledger.inspector.step(lease_s=LEASE_S)
        assert (again.agenda, again.happened) == (found.agenda, "")
        book.clock.ms += round(found.wait_s * 1000)
    assert (found.agenda, found.index) == (1200, 2400)
    assert steps > 10


@pytest.mark.parametrize("state", State)
async def test_the_record_is_the_truth(book: Book, state: State) -> None:
    """A closure that stands in an index of another state is taken off it, whichever that is."""
    await fill(book)
    everything: dict[Any, Any] = dict.fromkeys(STATES, 5.0)
    for index in (state, "agenda", "failed:not_found"):
        await book.redis.zadd(key_of(index), everything, nx=True)
    await book.inspect()
    assert [await book.state(reference) for reference in STATES] == list(STATES.values())
    assert sorted(await members(book, "agenda")) == UNFINISHED


@pytest.mark.parametrize("state", State)
async def test_a_lost_record(book: Book, state: State) -> None:
    """Its index tells whether it was unfinished: only then it is attempted, also when the agenda is lost, too."""
    await fill(book)
    [reference] = [ref for ref, its in STATES.items() if its is state and ref != "sent"]
    await book.redis.delete(key_of("agenda"), key_of(f"c:{reference}"))
    await book.inspect()
    assert (await book.agenda(reference) is not None) == (state in OPEN_STATES)
    if state in OPEN_STATES:
        assert await book.receive(reference, event_id="e2") == [Received.NEW]
        await book.inspect()
        assert await book.state(reference) is State.QUEUED


@pytest.mark.parametrize("lost", [["agenda"], INDEXES])
@pytest.mark.parametrize("state", State)
async def test_a_damaged_record(book: Book, state: State, lost: list[str]) -> None:
    """It is attempted only if an index says that it was unfinished. Where nothing tells, it is named and left alone."""
    await fill(book)
    [reference] = [ref for ref, its in STATES.items() if its is state and ref != "sent"]
    await book.redis.set(key_of(f"c:{reference}"), '{"s":"queued"}')
    await book.redis.delete(*(key_of(index) for index in lost), key_of("dispatched"))
    steps = [await book.ledger.inspector.step(lease_s=LEASE_S)]
    while steps[-1].wait_s < 10:
        book.clock.ms += round(steps[-1].wait_s * 1000)
        steps.append(await book.ledger.inspector.step(lease_s=LEASE_S))
    known = lost == ["agenda"] or state is State.HELD
    assert (await book.agenda(reference) is not None) == (known and state in OPEN_STATES)
    assert {ref for step in steps for ref in step.met} == (set() if known else {reference})


@pytest.mark.parametrize("index", [*INDEXES, "dispatched"])
async def test_what_is_not_a_reference_is_put_aside(book: Book, index: str) -> None:
    """Foreign members leave the index and are kept with the rejected events."""
    await fill(book)
    await book.redis.zadd(key_of(index), {b"\xff/": 5.0, b"a b": 5.0})
    if index == "dispatched":
        book.clock.forward(6 * 3600)
    found = await book.inspect()
    assert found.aside == 2
    entries: Any = await book.redis.xrange(key_of("rejected"))
    assert {(fields[b"event"], fields[b"origin"]) for _, fields in entries} == {
        (body, key_of(index).encode()) for body in (b"\xff/", b"a b")
    }


FIELDS = ["phase", "cursor", "pause", "next", "ended", "closures", "accepted", "audit", "agenda", "unknown", "more"]


@pytest.mark.parametrize("value", ["", "x", "-1", "1e300", "inf", "nan", "9" * 30, "1.5"])
@pytest.mark.parametrize("field", FIELDS)
async def test_a_spoilt_inspection(book: Book, field: str, value: str) -> None:
    """Whatever stands in its own fields, events are received, and the agenda is rebuilt all the same."""
    await fill(book)
    await book.redis.hset(key_of("inspection"), field, value)
    await book.receive("late")
    await book.redis.delete(key_of("agenda"))
    for _ in range(2):
        await book.inspect()
    assert sorted(await members(book, "agenda")) == sorted([*UNFINISHED, "late"])


KEYS = [*INDEXES, "dispatched", "inspection"]


@given(st.data())
async def test_any_loss(data: st.DataObject) -> None:
    """Whatever keys and entries are lost, nothing unfinished is stranded and nothing ended is on the agenda.

    Where one entry is lost and another put in its place, no count differs: then the next regular round finds it.
    """
    book = Book(FakeStore())
    await fill(book)
    for key in data.draw(st.lists(st.sampled_from(KEYS), max_size=4)):
        await book.redis.delete(key_of(key))
    for key, ref in data.draw(st.lists(st.tuples(st.sampled_from(INDEXES), st.sampled_from(list(STATES))), max_size=6)):
        await book.redis.zrem(key_of(key), ref)
    for key, ref in data.draw(st.lists(st.tuples(st.sampled_from(INDEXES), st.sampled_from(list(STATES))), max_size=3)):
        await book.redis.zadd(key_of(key), {ref: START_MS})
    for _ in range(2):
        await book.inspect()
        book.clock.forward(6 * 3600)
    assert sorted(await members(book, "agenda")) == UNFINISHED
    assert [await book.state(reference) for reference in STATES] == list(STATES.values())
    reasons = [reason for reason in Reason if await members(book, f"failed:{reason}")]
    assert reasons == [Reason.GONE]
    assert (await book.inspect()).happened == ""
