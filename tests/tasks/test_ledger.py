"""The ledger's contract, on fakeredis and on a real Valkey: receive, claim, settle, operate, prune."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.api_health import ApiHealth
from tasks.closure import HISTORY_LIMIT, Outcome, Reason, State
from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.values import Received, Settlement, Unclaimed
from tasks.ledger.version import LEDGER_VERSION
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, GRACE_S, LEASE_S, START_MS, Book

NEW, DUPLICATE, REQUEUED = Received.NEW, Received.DUPLICATE, Received.REQUEUED


async def test_a_new_closure(book: Book) -> None:
    """A new closure keeps all that its event said, is queued and due at once."""
    event = GroupComplete("sg_1", "wms", "e1", "Größe \u2028 5", "2026-01-01T00:00:00Z", "00-trace")
    assert await book.ledger.receive([event]) == [NEW]
    closure = await book.read("sg_1")
    assert (closure.source, closure.event_id, closure.custom_reference) == ("wms", "e1", "Größe \u2028 5")
    assert (closure.event_time, closure.traceparent) == ("2026-01-01T00:00:00Z", "00-trace")
    assert (closure.received_ms, closure.entered_ms, closure.attempts) == (START_MS, START_MS, 0)
    assert await book.state("sg_1") is State.QUEUED
    assert await book.agenda("sg_1") == 0


async def test_duplicates(book: Book) -> None:
    """The same event, or another for the same open or closed group, is a duplicate and changes nothing."""
    assert await book.receive("sg_1", "sg_1") == [NEW, DUPLICATE]
    assert await book.receive("sg_1", event_id="e2") == [DUPLICATE]
    claim = await book.claim("sg_1")
    assert await book.receive("sg_1", event_id="e3") == [DUPLICATE]
    assert await book.state("sg_1") is State.CLOSING
    await book.closed(claim)
    assert await book.receive("sg_1", event_id="e4") == [DUPLICATE]
    assert await book.state("sg_1") is State.CLOSED
    assert (await book.read("sg_1")).event_id == "e1"


async def test_a_new_event_queues_a_failed_closure_again(book: Book) -> None:
    """After a failure an event already seen changes nothing, a new one queues it with a new deadline."""
    await book.receive("sg_1")
    await book.receive("sg_1", event_id="e2")
    await book.failed("sg_1")
    book.clock.forward(500)
    assert await book.receive("sg_1", event_id="e1") == [DUPLICATE]
    assert await book.receive("sg_1", event_id="e2") == [DUPLICATE]
    assert await book.receive("sg_1", event_id="e3") == [REQUEUED]
    assert await book.state("sg_1") is State.QUEUED
    claim = await book.claim("sg_1")
    assert (claim.remaining_s, claim.failures, claim.missing) == (DEADLINE_S, 0, 0)
    assert await book.receive("sg_1", event_id="e3") == [DUPLICATE]


async def test_identities_are_not_mixed_up(book: Book) -> None:
    """Two events whose source and id look alike when joined are two events."""
    await book.receive("sg_1")
    await book.receive("sg_1", source="a b", event_id="c")
    await book.failed("sg_1")
    assert await book.receive("sg_1", source="a", event_id="b c") == [REQUEUED]


async def test_a_claim(book: Book) -> None:
    """A claim leases the closure: nobody else gets it, and when the lease ends it is due again."""
    await book.receive("sg_1")
    book.clock.forward(100)
    claim = await book.claim("sg_1")
    assert (claim.lease, claim.failures, claim.missing, claim.at_ms) == (1, 0, 0, book.clock.ms)
    assert (claim.remaining_s, claim.wait_s, claim.trigger, claim.lock_first) == (DEADLINE_S - 100, 0, "", False)
    assert await book.agenda("sg_1") == LEASE_S
    assert await book.ledger.claim(["sg_1"], worker="w2", lease_s=LEASE_S) == {"sg_1": Unclaimed.NO}


async def test_a_claim_tells_how_long_its_message_took(book: Book) -> None:
    """It is the newest message that counts; there is none when a foreign program has named the closure."""
    await book.receive("sg_1")
    assert await book.due() == ["sg_1"]
    book.clock.forward(GRACE_S + 1)
    assert await book.due() == ["sg_1"]
    book.clock.forward(2)
    await book.receive("sg_2")
    assert (await book.claim("sg_1")).sent_ms == 2000
    assert (await book.claim("sg_2")).sent_ms is None


async def test_what_cannot_be_claimed(book: Book) -> None:
    """Unknown, ended, and retried only later: none of these is leased."""
    await book.receive("done", "failed", "later")
    await book.closed(await book.claim("done"))
    await book.failed("failed")
    await book.settle(await book.claim("later"), State.RETRYING, delay_s=10)
    claims = await book.ledger.claim(["done", "failed", "later", "nobody"], worker="w", lease_s=1)
    no = Unclaimed.NO
    assert claims == {"done": no, "failed": no, "later": no, "nobody": Unclaimed.UNKNOWN}
    assert await book.ledger.claim([], worker="w", lease_s=1) == {}


async def test_a_retry_is_not_claimed_before_its_time(book: Book) -> None:
    """A retry is leased at its time, not a millisecond before; its failures are counted by kind."""
    await book.receive("sg_1")
    await book.settle(await book.claim("sg_1"), State.RETRYING, delay_s=10)
    assert await book.state("sg_1") is State.RETRYING
    assert (await book.read("sg_1")).next_attempt_ms == START_MS + 10_001
    book.clock.forward(10)
    assert await book.ledger.claim(["sg_1"], worker="w", lease_s=1) == {"sg_1": Unclaimed.NO}
    book.clock.forward(0.001)
    claim = await book.claim("sg_1")
    assert (claim.failures, claim.missing, claim.lease) == (1, 0, 2)
    await book.settle(claim, State.RETRYING, missing=True)
    book.clock.forward(0.001)
    claim = await book.claim("sg_1")
    assert (claim.failures, claim.missing) == (1, 1)


async def test_a_hold_is_never_undercut(book: Book) -> None:
    """What the API asked for is rounded up to milliseconds, and kept to the last of them, be it a year."""
    await book.receive("sg_1")
    for hold_s in (0.0004, 366 * 24 * 3600.0):
        claim = await book.claim("sg_1")
        await book.settle(claim, State.QUEUED, hold_s=hold_s, health=ApiHealth.UNKNOWN)
        throttled = (await book.ledger.gate.look()).get("throttled")
        assert throttled is not None
        till_ms = throttled.until_ms or 0
        assert till_ms >= book.clock.ms + hold_s * 1000
        book.clock.forward((till_ms - book.clock.ms - 1) / 1000)
        assert await book.ledger.claim(["sg_1"], worker="w", lease_s=1) == {"sg_1": Unclaimed.LATER}
        book.clock.forward(0.001)


async def test_a_lost_lease(book: Book) -> None:
    """A lease that ended is noted as an attempt and given to another; the first worker's word counts no more."""
    await book.receive("sg_1")
    first = await book.claim("sg_1", worker="w1")
    book.clock.forward(LEASE_S)
    second = await book.claim("sg_1", worker="w2")
    assert second.lease == first.lease + 1
    assert not await book.settle(first, State.FAILED, reason=Reason.GONE)
    assert not await book.settle(first, State.RETRYING)
    assert await book.state("sg_1") is State.CLOSING
    [lost] = (await book.read("sg_1")).history
    assert (lost.at_ms, lost.worker, lost.verdict, lost.decision) == (START_MS, "w1", "lost", "queued")


async def test_a_late_closed_is_a_fact(book: Book) -> None:
    """A group that was closed is closed, even when the lease had ended, another had it, or it was given up by then."""
    for reference in ("taken", "failed", "queued", "discarded"):
        await book.receive(reference)
        first = await book.claim(reference)
        book.clock.forward(LEASE_S)
        if reference == "queued":
            await book.due()
        elif reference != "taken":
            await book.failed(reference)
            if reference == "discarded":
                await book.ledger.discard([reference])
        else:
            await book.claim(reference)
        assert await book.closed(first, Outcome.ALREADY_CLOSED), reference
        assert await book.state(reference) is State.CLOSED
        assert await book.agenda(reference) is None
        assert (await book.read(reference)).reason is None


async def test_only_closed_wakes_a_discarded_closure(book: Book) -> None:
    """Whatever else a late attempt brings, what an operator has given up stays given up."""
    await book.receive("sg_1")
    late = await book.claim("sg_1")
    book.clock.forward(LEASE_S)
    await book.failed("sg_1")
    await book.ledger.discard(["sg_1"])
    before = await book.read("sg_1")
    for to, more in ((State.FAILED, {"reason": Reason.GONE}), (State.RETRYING, {"delay_s": 1}), (State.QUEUED, {})):
        assert not await book.settle(late, to, **more)
    assert await book.read("sg_1") == before
    assert await book.agenda("sg_1") is None


@pytest.mark.parametrize(
    ("to", "more", "outcome", "reason", "agenda"),
    [
        (State.CLOSED, {"outcome": Outcome.CLOSED}, Outcome.CLOSED, None, None),
        (State.CLOSED, {"outcome": Outcome.ALREADY_CLOSED}, Outcome.ALREADY_CLOSED, None, None),
        (State.FAILED, {"reason": Reason.NOT_LOCKED}, None, Reason.NOT_LOCKED, None),
        (State.RETRYING, {"delay_s": 7.0}, None, None, 7.001),
        (State.QUEUED, {}, None, None, 0.0),
    ],
)
async def test_settlements(
    book: Book, to: State, more: dict[str, Any], outcome: Outcome | None, reason: Reason | None, agenda: float | None
) -> None:
    """Each decision ends in its state, with its outcome or reason, and on the agenda exactly while unfinished."""
    await book.receive("sg_1")
    assert await book.settle(await book.claim("sg_1"), to, **more)
    closure = await book.read("sg_1")
    assert (closure.outcome, closure.reason, closure.attempts) == (outcome, reason, 1)
    assert await book.state("sg_1") is to
    assert await book.agenda("sg_1") == agenda


async def test_settling_without_a_call(book: Book) -> None:
    """What is handed back unbegun counts as no attempt; the same settlement twice is written once."""
    await book.receive("sg_1")
    claim = await book.claim("sg_1")
    settlement = Settlement("sg_1", claim.lease, State.QUEUED)
    fact = Settlement("nobody", 1, State.CLOSED, outcome=Outcome.CLOSED)
    settled = await book.ledger.settle([settlement, settlement, fact])
    assert settled == ([True, False, False], (book.clock.ms, 0, 0))
    assert (await book.read("sg_1")).attempts == 0


async def test_history_keeps_the_last_twenty(book: Book) -> None:
    """All attempts are counted, the last twenty are kept, oldest first."""
    await book.receive("sg_1")
    for _ in range(HISTORY_LIMIT + 3):
        book.clock.forward(1)
        await book.settle(await book.claim("sg_1"), State.QUEUED)
    closure = await book.read("sg_1")
    assert (closure.attempts, len(closure.history)) == (HISTORY_LIMIT + 3, HISTORY_LIMIT)
    times = [attempt.at_ms for attempt in closure.history]
    assert times == [START_MS + 1000 * number for number in range(4, HISTORY_LIMIT + 4)]


async def test_requeue(book: Book) -> None:
    """Only what failed is queued again; the trigger and the wish to lock reach the next attempt, once."""
    await book.receive("failed", "queued")
    await book.failed("failed")
    words = await book.ledger.requeue(["failed", "queued", "nobody"], trigger="bulk", lock=True)
    assert words == ["done", "queued", "unknown"]
    claim = await book.claim("failed")
    assert (claim.trigger, claim.lock_first) == ("bulk", True)
    await book.settle(claim, State.FAILED, reason=Reason.GONE)
    await book.receive("failed", event_id="e2")
    claim = await book.claim("failed")
    assert (claim.trigger, claim.lock_first) == ("", False)


async def test_discard(book: Book) -> None:
    """Only what failed is discarded, for good: neither an event nor an operator brings it back."""
    await book.receive("failed", "queued")
    await book.failed("failed")
    assert await book.ledger.discard(["failed", "queued", "nobody"]) == ["done", "queued", "unknown"]
    assert await book.state("failed") is State.DISCARDED
    assert await book.ledger.discard(["failed"]) == await book.ledger.requeue(["failed"]) == ["discarded"]
    assert await book.receive("failed", event_id="e2") == [DUPLICATE]


async def test_prune(book: Book) -> None:
    """What was closed or discarded long ago is forgotten, a bit at a time; what failed never is."""
    await book.receive("c1", "c2", "c3", "d", "failed", "queued")
    for reference in ("c1", "c2", "c3"):
        await book.closed(await book.claim(reference))
    for reference in ("d", "failed"):
        await book.failed(reference)
    await book.ledger.discard(["d"])
    book.clock.forward(100)
    assert await book.ledger.prune(keep_s=101) == 0
    assert await book.ledger.prune(keep_s=100, limit=2) == 3
    assert await book.ledger.prune(keep_s=100, limit=2) == 1
    left = await book.ledger.read(["c1", "c2", "c3", "d", "failed", "queued"])
    assert [closure is not None for closure in left] == [False] * 4 + [True] * 2
    assert await book.receive("c1") == [NEW]


async def test_a_worker_with_a_strange_name(book: Book) -> None:
    """A lease lost by a worker whose name holds the history's separator does not make the closure unreadable."""
    await book.receive("sg_1")
    await book.claim("sg_1", worker="a|b\nc")
    book.clock.forward(LEASE_S)
    await book.claim("sg_1")
    assert [attempt.worker for attempt in (await book.read("sg_1")).history] == ["a b c"]


async def test_signs_of_life(book: Book) -> None:
    """Every worker says how it fares, its goodbye takes it off, and one that is silent for an hour is forgotten."""
    now_ms, [sign] = await book.ledger.heartbeats.write("w1", {"in_flight": 3, "more": "x"})
    said = {"in_flight": 3, "more": "x", "ledger_version": LEDGER_VERSION}
    assert now_ms == START_MS
    assert sign == Heartbeat("w1", START_MS, 3, 0, 0, 0, "", 0, said)
    book.clock.forward(1800)
    _, workers = await book.ledger.heartbeats.write("w2", {})
    assert sorted(worker.name for worker in workers) == ["w1", "w2"]
    book.clock.forward(1801)
    assert [worker.name for worker in (await book.ledger.heartbeats.write())[1]] == ["w2"]
    assert (await book.ledger.heartbeats.write("w2"))[1] == []


async def test_rejected(book: Book) -> None:
    """What is not an event is kept with its bytes, the reason, and its origin."""
    rejected_id = await book.ledger.dead_letters.reject(b"\xff\x00", Rejection(("event: a", "b: c")), "task 1")
    rejected: Any = await book.redis.xrange(key_of("rejected"))
    [(entry_id, fields)] = rejected
    assert entry_id.decode() == rejected_id
    assert fields == {b"event": b"\xff\x00", b"problems": b'["event: a", "b: c"]', b"origin": b"task 1"}


async def test_what_comes_again_is_rejected_once(book: Book) -> None:
    """The same bytes of the same origin are kept once, even when they were dismissed; an event is not kept at all."""
    wrong = Rejection(("type: x.y",), "x.y")
    elements = [Element(b"a", "1-0/0", wrong), Element(b"b", "1-0/1", GroupComplete("sg_1", "s", "1-0/1")),
                Element(b"a", "1-0/2", wrong), Element(b"c", "1-0/2", Rejection(("event: z",)))]  # fmt: skip
    assert await book.ledger.dead_letters.keep(elements[:2]) == 1
    assert await book.ledger.dead_letters.keep(elements) == 2
    assert await book.ledger.dead_letters.keep(elements[1:2]) == 0
    entries: Any = await book.redis.xrange(key_of("rejected"))
    assert [(fields[b"event"], fields[b"origin"]) for _, fields in entries] == [
        (b"a", b"1-0/0"), (b"a", b"1-0/2"), (b"c", b"1-0/2"),
    ]  # fmt: skip
    assert await book.redis.hgetall(key_of("waiting_types")) == {b"x.y": b"2"}
    assert await book.ledger.dead_letters.dismiss([entries[0][0].decode(), "1-1"], audit="") == 1
    assert await book.redis.hgetall(key_of("waiting_types")) == {b"x.y": b"1"}
    assert await book.ledger.dead_letters.keep(elements) == 0


async def test_types_are_forgotten_after_a_day(book: Book) -> None:
    """Which types have come within a day is known, of the last hundred."""
    await book.ledger.events.seen(["a", "b"])
    book.clock.forward(86_000)
    await book.ledger.events.seen(["b", "c"])
    book.clock.forward(1_000)
    await book.ledger.events.seen([])
    assert await book.redis.zrange(key_of("seen_types"), 0, -1) == [b"b", b"c"]
    await book.ledger.events.seen([f"t{number}" for number in range(200)])
    assert await book.redis.zcard(key_of("seen_types")) == 100
