"""The ledger's contract, on fakeredis and on a real Valkey: receive, settle, operate, prune, signs of life."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.closure import HISTORY_LIMIT, Outcome, Reason, State
from tasks.events.event import GroupComplete
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.values import Received, Settlement
from tasks.ledger.version import LEDGER_VERSION
from tests.tasks.book import DEADLINE_S, START_MS, Book

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


async def test_workers_in_one_place(book: Book) -> None:
    """Two workers with one host and process number are two; one of them that is silent for a minute is forgotten."""
    names = ["host:1:aaaaaa", "host:1:bbbbbb", "host:2:cccccc", "host:11:dddddd", "host:1"]
    for name in names:
        await book.ledger.heartbeats.write(name, {})
    assert sorted(worker.name for worker in (await book.ledger.heartbeats.write())[1]) == sorted(names)
    book.clock.forward(60)
    _, workers = await book.ledger.heartbeats.write("host:1:bbbbbb", {})
    assert len(workers) == len(names)
    book.clock.forward(1)
    _, workers = await book.ledger.heartbeats.write("host:1:bbbbbb", {})
    assert sorted(worker.name for worker in workers) == sorted(set(names) - {"host:1:aaaaaa"})
