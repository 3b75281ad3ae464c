"""A Retry-After holds the whole fleet, and nothing undercuts it; the fleet's rate limit."""

from __future__ import annotations

from typing import Any

from tasks.api_health import ApiHealth
from tasks.closure import State
from tasks.ledger.values import Claim, Unclaimed
from tests.support import key_of
from tests.tasks.book import LEASE_S, Book
from tests.tasks.outages import GROUPS, RETRY, outage, probe, reason


async def test_throttled(book: Book) -> None:
    """Retry-After holds everybody until then, the longest one counts; afterwards the gate opens by itself."""
    await book.receive("sg_1", "sg_2", "sg_3")
    first, second = await book.claim("sg_1"), await book.claim("sg_2")
    await book.settle(first, State.RETRYING, hold_s=10.0, **RETRY)
    await book.settle(second, State.RETRYING, hold_s=5.0, **RETRY)
    assert await reason(book) == "throttled"
    book.clock.forward(9.999)
    assert await book.due() == []
    assert await book.ledger.claim(["sg_3"], worker="w", lease_s=1) == {"sg_3": Unclaimed.LATER}
    book.clock.forward(0.001)
    assert "sg_3" in await book.due()
    assert await reason(book) is None


async def test_a_pause_does_not_undercut_retry_after(book: Book) -> None:
    """Pausing and resuming leave what the API asked for; a Retry-After that comes while paused counts, too."""
    await book.receive("sg_1", "sg_2", "sg_3")
    first, second = await book.claim("sg_1"), await book.claim("sg_2")
    await book.settle(first, State.RETRYING, hold_s=60.0, **RETRY)
    await book.ledger.gate.pause()
    assert (await book.ledger.gate.resume()).reason == "throttled"
    await book.ledger.gate.pause()
    await book.settle(second, State.RETRYING, hold_s=90.0, **RETRY)
    gate = await book.ledger.gate.resume()
    assert [one.reason for one in gate.standing] == ["throttled"]
    book.clock.forward(89.9)
    assert await book.ledger.claim(["sg_3"], worker="w", lease_s=1) == {"sg_3": Unclaimed.LATER}
    book.clock.forward(0.1)
    assert "sg_3" in await book.due()


async def test_a_refused_key_does_not_undercut_retry_after(book: Book) -> None:
    """A 401 while throttled is not probed before the time that the API asked for is over."""
    await book.receive("sg_1", "sg_2", "sg_3")
    first, second = await book.claim("sg_1"), await book.claim("sg_2")
    await book.settle(first, State.RETRYING, hold_s=60.0, **RETRY)
    await book.settle(second, State.QUEUED, health=ApiHealth.UNAUTHORISED)
    for _ in range(6):
        book.clock.forward(9.9)
        assert await book.due() == []
    book.clock.forward(0.7)
    assert len(await book.due()) == 1


async def test_a_long_retry_after_stands(book: Book) -> None:
    """Three hours are three hours; only an operator who says so, and why, ends them, and the audit has it."""
    await book.receive("sg_1", "sg_2")
    await book.settle(await book.claim("sg_1"), State.RETRYING, hold_s=3 * 3600.0, **RETRY)
    book.clock.forward(3 * 3600 - 0.1)
    assert (await book.ledger.gate.resume(by="ann")).reason == "throttled"
    assert (await book.ledger.gate.resume(by="ann", why="agreed with Sorted", override_retry_after=True)).open
    assert "sg_2" in await book.due()
    entries: Any = await book.redis.xrange(key_of("audit"))
    said = [(fields[b"action"], fields[b"why"], fields[b"changed"]) for _, fields in entries]
    assert said == [(b"resume", b"", b"0"), (b"override", b"agreed with Sorted", b"1")]


async def test_retry_after_during_an_outage(book: Book) -> None:
    """A probe that is told Retry-After is not attempted again before it, and neither is another group."""
    await outage(book)
    book.clock.forward(1)
    claim = await probe(book)
    await book.settle(claim, State.RETRYING, delay_s=100.0, health=ApiHealth.BAD, hold_s=100.0, told=True)
    for _ in range(10):
        book.clock.forward(9.9)
        assert await book.due() == []
    book.clock.forward(1.1)
    assert await book.due() != []


async def test_rate_limit(book: Book) -> None:
    """Calls of the whole fleet are spaced evenly, and an idle time is not saved up for a burst."""
    await book.receive(*GROUPS[:12])
    waits = [
        (await book.claim(ref, worker=f"w{index % 3}", rate_limit=4)).wait_s for index, ref in enumerate(GROUPS[:6])
    ]
    assert waits == [0.25 * index for index in range(6)]
    assert await book.agenda(GROUPS[5]) == LEASE_S + 1.25
    book.clock.forward(0.5)
    claims = await book.ledger.claim(GROUPS[6:9], worker="w", lease_s=LEASE_S, rate_limit=4)
    assert [claim.wait_s for claim in claims.values() if isinstance(claim, Claim)] == [1.0, 1.25, 1.5]
    book.clock.forward(60)
    assert [(await book.claim(ref, rate_limit=4)).wait_s for ref in GROUPS[9:11]] == [0, 0.25]
    assert (await book.claim(GROUPS[11])).wait_s == 0
