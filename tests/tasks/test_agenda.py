"""The agenda: what is due, how much of it at once, and that a crash repeats work and never loses it."""

from __future__ import annotations

import pytest

from tasks.closure import State
from tasks.ledger.values import Received
from tests.support import key_of
from tests.tasks.book import GRACE_S, LEASE_S, Book

REFERENCES = [f"sg_{number:02d}" for number in range(30)]


async def test_due_is_taken_once(book: Book) -> None:
    """What is due is named once; when its message is presumed lost, it is named again."""
    await book.receive("sg_1", "sg_2")
    assert sorted(await book.due()) == ["sg_1", "sg_2"]
    assert await book.due() == []
    book.clock.forward(GRACE_S - 0.001)
    assert await book.due() == []
    book.clock.forward(0.001)
    assert sorted(await book.due()) == ["sg_1", "sg_2"]


async def test_oldest_first_up_to_the_limit(book: Book) -> None:
    """The one that has waited longest goes first, no more than `limit` at once."""
    for reference in REFERENCES[:5]:
        await book.receive(reference)
        book.clock.forward(1)
    assert await book.due(limit=3) == REFERENCES[:3]
    assert await book.due(limit=3) == REFERENCES[3:5]


async def test_at_most_so_many_on_their_way(book: Book) -> None:
    """Messages name at most `most` references; claiming makes room, and little room is not worth a message."""
    await book.receive(*REFERENCES)
    taken = await book.due(most=10)
    assert len(taken) == 10
    full = await book.ledger.due(limit=500, grace_s=GRACE_S, most=10)
    assert (full.references, full.next_s) == ([], None)
    for reference in taken[:4]:
        await book.claim(reference)
    assert await book.due(most=10) == [], "four places are less than half of ten"
    await book.claim(taken[4])
    assert len(await book.due(most=10)) == 5


async def test_the_time_of_the_next_one(book: Book) -> None:
    """It says how long until the next closure is due: the message's grace, the retry, the lease."""
    empty = await book.ledger.due(limit=10, grace_s=GRACE_S, most=10)
    assert (empty.references, empty.next_s) == ([], None)
    await book.receive("sg_1")
    assert (await book.ledger.due(limit=10, grace_s=GRACE_S, most=10)).next_s == GRACE_S
    claim = await book.claim("sg_1")
    assert (await book.ledger.due(limit=10, grace_s=GRACE_S, most=10)).next_s == LEASE_S
    await book.settle(claim, State.RETRYING, delay_s=4)
    assert (await book.ledger.due(limit=10, grace_s=GRACE_S, most=10)).next_s == 4.001


async def test_retries_and_lost_leases_are_due(book: Book) -> None:
    """At its time a retry is queued and named; so is a closure whose worker has died."""
    await book.receive("retry", "lease")
    await book.settle(await book.claim("retry"), State.RETRYING, delay_s=1)
    await book.claim("lease")
    book.clock.forward(LEASE_S)
    assert sorted(await book.due()) == ["lease", "retry"]
    assert await book.state("retry") is await book.state("lease") is State.QUEUED
    assert [attempt.verdict for attempt in (await book.read("lease")).history] == ["lost"]


async def test_handed_back_is_due_at_once(book: Book) -> None:
    """A message that was not sent makes its references due at once; others are left as they are."""
    await book.receive("sg_1", "sg_2", "sg_3")
    await book.due()
    claim = await book.claim("sg_2")
    await book.ledger.undispatch(["sg_1", "sg_2", "nobody"])
    assert await book.due() == ["sg_1"]
    assert await book.closed(claim)


async def test_a_lost_record_is_named(book: Book) -> None:
    """A closure whose record was lost or spoilt is named, found unknown, and received anew: the group is not lost."""
    await book.receive("lost", "spoilt", "cut")
    await book.redis.delete(key_of("c:lost"))
    await book.redis.set(key_of("c:spoilt"), "no json")
    await book.redis.set(key_of("c:cut"), "{}")
    assert sorted(await book.due()) == ["cut", "lost", "spoilt"]
    assert await book.receive("lost", "spoilt", "cut") == [Received.NEW] * 3
    for reference in ("lost", "spoilt", "cut"):
        assert await book.closed(await book.claim(reference))
        assert await book.state(reference) is State.CLOSED


@pytest.mark.parametrize("state", ["queued", "closing", "retrying"])
async def test_a_lost_index_entry_is_healed(book: Book, state: str) -> None:
    """A closure that is missing from its state's index stays on the agenda, stops no other, and is closed."""
    await book.receive("broken", "other")
    if state != "queued":
        claim = await book.claim("broken")
        if state == "retrying":
            await book.settle(claim, State.RETRYING, delay_s=1)
    await book.redis.zrem(key_of(state), "broken")
    book.clock.forward(LEASE_S)
    assert sorted(await book.due()) == ["broken", "other"]
    assert await book.state("broken") is State.QUEUED
    assert await book.closed(await book.claim("broken"))


async def test_finished_closures_leave_the_agenda(book: Book) -> None:
    """An agenda entry of something finished, left by a half-restored backup, is removed and not attempted."""
    await book.receive("sg_1")
    await book.closed(await book.claim("sg_1"))
    await book.redis.zadd(key_of("agenda"), {"sg_1": 1})
    assert await book.due() == []
    assert await book.agenda("sg_1") is None
