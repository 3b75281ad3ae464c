"""The gate, as part of the ledger's contract: when nothing is attempted, and how it opens again."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, State
from tasks.ledger.gate import Standing
from tasks.ledger.values import Settlement, Unclaimed
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, GRACE_S, LEASE_S, Book
from tests.tasks.outages import RETRY, outage, probe, reason


async def test_settling_tells_whether_the_gate_is_shut(book: Book) -> None:
    """A worker hears of it with the result that shuts it, and that it is open again with the one that opens it."""
    await book.receive("sg_1", "sg_2")
    claims = [await book.claim("sg_1"), await book.claim("sg_2")]
    book.clock.forward(1)
    refused = Settlement("sg_1", claims[0].lease, State.RETRYING, "x", health=ApiHealth.BAD, hold_s=5.0)
    assert await book.ledger.settle([refused]) == ([True], (book.clock.ms, book.clock.ms, 0))
    book.clock.forward(5.1)
    good = Settlement("sg_2", claims[1].lease, State.CLOSED, "x", Outcome.CLOSED, health=ApiHealth.GOOD)
    assert await book.ledger.settle([good]) == ([True], (book.clock.ms, 0, 0))


async def test_deadlines_stand_still_while_shut(book: Book) -> None:
    """The time that the gate is shut is not taken from any closure, old or new."""
    await book.receive("old")
    book.clock.forward(100)
    await book.ledger.gate.pause(by="ann", why="upgrade")
    book.clock.forward(5000)
    await book.receive("new")
    book.clock.forward(5000)
    await book.ledger.gate.resume()
    book.clock.forward(10)
    assert (await book.claim("old")).remaining_s == DEADLINE_S - 110
    assert (await book.claim("new")).remaining_s == DEADLINE_S - 10


async def test_reasons_stand_side_by_side(book: Book) -> None:
    """Each reason has its own since and end; the gravest is named first, and the gate opens when none is left."""
    await book.receive("sg_1")
    first = await book.claim("sg_1")
    await outage(book)
    book.clock.forward(1)
    await book.ledger.gate.pause(by="ann", why="upgrade")
    paused_ms = book.clock.ms
    await book.ledger.gate.pause(by="bob", why="other")
    book.clock.forward(1)
    await book.settle(first, State.RETRYING, hold_s=60.0, **RETRY)
    gate = await book.ledger.gate.look()
    assert [one.reason for one in gate.standing] == ["paused", "outage", "throttled"]
    assert gate.gravest == Standing("paused", paused_ms, "ann", "upgrade")
    throttled = gate.get("throttled")
    assert throttled is not None
    assert throttled.until_ms == book.clock.ms + 60_000
    await book.ledger.gate.resume()
    assert await reason(book) == "outage"
    book.clock.forward(60.1)
    await book.closed(await probe(book))
    assert await reason(book) is None


@pytest.mark.parametrize("standing", ["paused", "throttled"])
async def test_no_probe_while_paused_or_throttled(book: Book, standing: str) -> None:
    """An outage is not probed while an operator, or the API itself, wants no calls."""
    await book.receive("first")
    first = await book.claim("first")
    await outage(book)
    if standing == "paused":
        await book.ledger.gate.pause()
    else:
        await book.settle(first, State.RETRYING, hold_s=300.0, **RETRY)
    book.clock.forward(299)
    assert await book.due() == []
    await book.ledger.gate.resume(override_retry_after=True)
    assert len(await book.due()) == 1


async def test_time_shut_is_counted_once(book: Book) -> None:
    """However many reasons stand together, deadlines stand still as long as at least one does, and no longer."""
    await book.receive("keep", "sg_1")
    claim = await book.claim("sg_1")
    await book.settle(claim, State.RETRYING, hold_s=30.0, **RETRY)
    book.clock.forward(10)
    await book.ledger.gate.pause()
    book.clock.forward(50)
    await book.ledger.gate.look()
    await book.due()
    book.clock.forward(40)
    await book.ledger.gate.resume()
    book.clock.forward(7)
    assert (await book.claim("keep")).remaining_s == DEADLINE_S - 7


async def test_a_pause_of_an_older_version(book: Book) -> None:
    """A fleet that was paused before an upgrade is paused after it, until an operator resumes."""
    await book.receive("sg_1")
    old: Any = {"shut": "paused", "since": str(book.clock.ms), "by": "ann", "why": "upgrade"}
    await book.redis.hset(key_of("gate"), mapping=old)
    assert (await book.ledger.gate.look()).gravest == Standing("paused", book.clock.ms, "ann", "upgrade")
    assert await book.due() == []
    assert (await book.ledger.gate.resume()).open
    assert await book.due() == ["sg_1"]


async def test_looking_changes_nothing(book: Book) -> None:
    """A look at a gate whose time is over tells that it is open, and leaves the opening to who works."""
    await book.receive("sg_1")
    await book.settle(await book.claim("sg_1"), State.RETRYING, hold_s=10.0, **RETRY)
    before: Any = await book.redis.hgetall(key_of("gate"))
    book.clock.forward(11)
    assert (await book.ledger.gate.look()).open
    assert await book.redis.hgetall(key_of("gate")) == before


@pytest.mark.parametrize("field", ["paused", "outage", "throttled", "unauthorised", "key:x", "lost", "shut_at", "tat",
                                   "window", "bad", "clock", "ramp", "forbidden:", "made-up"])  # fmt: skip
@pytest.mark.parametrize("value", [b"", b"x", b"[]", b"{}", b'{"since":"x"}', b"\xff", b"1e999", b"null"])
async def test_a_foreign_field(book: Book, field: str, value: bytes) -> None:
    """What another program puts into the gate breaks no step: damaged reasons stand, damaged numbers do not."""
    await book.receive("sg_1", "sg_2")
    await book.redis.hset(key_of("gate"), field, value)
    await book.ledger.gate.look()
    await book.due()
    await book.ledger.heartbeats.write("w1", {"key": ""})
    claims = await book.ledger.claim(["sg_2"], worker="w", lease_s=LEASE_S)
    assert (claims["sg_2"] is Unclaimed.LATER) == (field in ("paused", "outage", "throttled"))
    await book.ledger.settle([Settlement("sg_1", 1, State.RETRYING, "x", health=ApiHealth.BAD)])
    await book.ledger.gate.pause(by="ann")
    await book.ledger.gate.resume(by="ann", override_retry_after=True)
    assert (await book.ledger.gate.look()).open == (field != "outage")


async def test_settling_while_paused(book: Book) -> None:
    """Calls in flight at a pause are settled as ever; their retries wait for the end of the pause."""
    await book.receive("sg_1", "sg_2")
    first, second = await book.claim("sg_1"), await book.claim("sg_2")
    await book.ledger.gate.pause()
    assert await book.closed(first)
    assert await book.settle(second, State.RETRYING, **RETRY)
    assert (await book.state("sg_1"), await book.state("sg_2")) == (State.CLOSED, State.RETRYING)
    book.clock.forward(GRACE_S)
    assert await book.due() == []
