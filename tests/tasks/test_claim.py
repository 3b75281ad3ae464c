"""The ledger's contract for claims: who may call for a group, when, and what becomes of a lost lease."""

from __future__ import annotations

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.ledger.values import Unclaimed
from tests.tasks.book import DEADLINE_S, GRACE_S, LEASE_S, START_MS, Book


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


async def test_a_worker_with_a_strange_name(book: Book) -> None:
    """A lease lost by a worker whose name holds the history's separator does not make the closure unreadable."""
    await book.receive("sg_1")
    await book.claim("sg_1", worker="a|b\nc")
    book.clock.forward(LEASE_S)
    await book.claim("sg_1")
    assert [attempt.worker for attempt in (await book.read("sg_1")).history] == ["a b c"]
