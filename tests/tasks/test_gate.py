"""The gate, as part of the ledger's contract: when nothing is attempted, and how it opens again."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.ledger.gate import Standing
from tasks.ledger.values import Claim, Settlement, Unclaimed
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, GRACE_S, LEASE_S, Book

GROUPS = [f"sg_{number:03d}" for number in range(80)]
RETRY: dict[str, Any] = {"delay_s": 1.0, "health": ApiHealth.BAD}


async def fail(book: Book, reference: str, health: ApiHealth = ApiHealth.BAD, **more: Any) -> None:
    """One attempt that finds the API as `health` says."""
    await book.receive(reference)
    to = State.FAILED if health is ApiHealth.FORBIDDEN else State.RETRYING
    reason = Reason.FORBIDDEN if health is ApiHealth.FORBIDDEN else None
    await book.settle(await book.claim(reference), to, health=health, reason=reason, delay_s=1.0, **more)


async def outage(book: Book) -> int:
    """Groups fail one after the other until the gate shuts; how many it took."""
    for number, reference in enumerate(GROUPS, 1):
        await fail(book, reference)
        if not (await book.ledger.gate.look()).open:
            return number
    raise AssertionError("no outage")


async def probe(book: Book) -> Claim:
    """The one closure that may be attempted while the gate is shut."""
    [reference] = await book.due()
    return await book.claim(reference)


async def raw(book: Book, field: str) -> str:
    """A field of the gate, as it is in the store."""
    value: Any = await book.redis.hget(key_of("gate"), field)
    return value.decode() if value else ""


async def reopened(book: Book) -> None:
    """An outage is over: the next probe is answered well. The window is as it was before that reply."""
    await book.ledger.gate.resume()
    await book.closed(await probe(book))
    await book.redis.hset(key_of("gate"), "window", "4")


async def reason(book: Book) -> str | None:
    """Why the gate is shut."""
    return (await book.ledger.gate.look()).reason


async def test_an_outage(book: Book) -> None:
    """A dozen different groups in a row that find the API ill shut the gate: no claim, nothing dispatched."""
    assert 10 <= await outage(book) <= 14
    assert await reason(book) == "outage"
    outage_now = (await book.ledger.gate.look()).gravest
    assert outage_now is not None
    assert (outage_now.by, outage_now.since_ms) == ("closer", book.clock.ms)
    await book.receive("new")
    assert await book.ledger.claim(["new"], worker="w", lease_s=1) == {"new": Unclaimed.LATER}
    assert await book.due() == []
    assert await book.agenda("new") == 0


async def test_one_group_that_keeps_failing_is_no_outage(book: Book) -> None:
    """However often one group fails, it counts once; and good replies outweigh a few bad ones."""
    for _ in range(40):
        await fail(book, "sg_1")
        book.clock.forward(2)
    assert await reason(book) is None
    for reference in GROUPS:
        await fail(book, reference)
        await book.receive(f"good-{reference}")
        await book.closed(await book.claim(f"good-{reference}"))
    assert await reason(book) is None


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


async def test_the_memory_of_ill_groups_is_bounded(book: Book) -> None:
    """An API that fails now and then for days does not make the gate's record grow with every group."""
    for number in range(200):
        await fail(book, f"bad-{number}")
        await book.receive(f"good-{number}")
        await book.closed(await book.claim(f"good-{number}"))
    assert len((await raw(book, "ill")).split()) <= 64


async def test_the_probe_of_an_outage(book: Book) -> None:
    """One closure at a time probes, at growing pauses up to five seconds; its failures are not held against it."""
    await outage(book)
    pauses = []
    last = book.clock.ms
    for _ in range(5):
        while not (taken := await book.due(limit=50)):
            book.clock.forward(0.1)
        assert len(taken) == 1
        claim = await book.claim(taken[0])
        failures = claim.failures
        await book.settle(claim, State.RETRYING, **RETRY)
        assert await book.state(claim.reference) is State.QUEUED
        pauses.append((book.clock.ms - last) / 1000)
        last = book.clock.ms
        assert failures <= 1
    assert pauses == pytest.approx([1, 1, 2, 4, 5], abs=0.11)
    assert await reason(book) == "outage"


async def test_a_good_probe_opens_the_gate(book: Book) -> None:
    """When the probe is answered the gate opens, first for a few calls, then for more with each good reply."""
    await outage(book)
    await book.receive(*(f"more-{number}" for number in range(40)))
    book.clock.forward(1)
    await book.closed(await probe(book))
    gate = await book.ledger.gate.look()
    assert gate.open
    assert gate.window == 5
    first = await book.due()
    assert len(first) == 5
    claims = [await book.claim(reference) for reference in first]
    assert await book.due() == []
    assert await book.ledger.claim(["more-39"], worker="w", lease_s=1) == {"more-39": Unclaimed.LATER}
    for claim in claims:
        await book.closed(claim)
    assert len(await book.due()) == 10


async def window(book: Book) -> int | None:
    """How many calls the gate lets into flight, None for any number."""
    return (await book.ledger.gate.look()).window


async def close_one(book: Book, reference: str) -> None:
    """One good reply."""
    await book.receive(reference)
    await book.closed(await book.claim(reference))


async def test_the_window_is_lifted(book: Book) -> None:
    """After an outage a thousand good replies lift the limit."""
    await outage(book)
    await reopened(book)
    await book.redis.hset(key_of("gate"), "window", "1023")
    await close_one(book, "more-1")
    assert await window(book) == 1024
    await close_one(book, "more-2")
    assert await window(book) is None


async def test_the_window_of_a_start(book: Book) -> None:
    """A worker that starts lets few calls into flight, until one good reply shows that its key is good."""
    await book.ledger.gate.start_slowly()
    await book.ledger.gate.start_slowly()
    assert await window(book) == 48
    await close_one(book, "sg_1")
    assert await window(book) is None


async def test_a_start_while_the_gate_opens_again(book: Book) -> None:
    """A worker that starts after an outage does not widen the window: each good reply still lets one more in."""
    await outage(book)
    await reopened(book)
    await book.ledger.gate.start_slowly()
    assert await window(book) == 4
    await close_one(book, "more-1")
    assert await window(book) == 5


async def test_an_outage_right_after_a_start(book: Book) -> None:
    """When the gate shuts before the first good reply, it opens again as after any outage."""
    await book.ledger.gate.start_slowly()
    await outage(book)
    await reopened(book)
    await close_one(book, "more-1")
    assert await window(book) == 5


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


async def test_403_now_and_then(book: Book) -> None:
    """Groups refused one by one, with others closed in between, have failed for themselves and stay so."""
    for reference in GROUPS[:8]:
        await fail(book, reference, ApiHealth.FORBIDDEN)
        await book.receive(f"good-{reference}")
        await book.closed(await book.claim(f"good-{reference}"))
    assert await reason(book) is None
    await fail(book, "last", ApiHealth.FORBIDDEN)
    await book.ledger.gate.pause()
    await book.ledger.gate.resume()
    assert {await book.state(reference) for reference in [*GROUPS[:8], "last"]} == {State.FAILED}


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


async def test_resume_makes_the_next_probe_due(book: Book) -> None:
    """A resume while an outage stands does not open the gate, but tries at once whether it is over."""
    await outage(book)
    for _ in range(4):
        book.clock.forward(5)
        await book.settle(await probe(book), State.RETRYING, **RETRY)
    assert await book.due() == []
    assert (await book.ledger.gate.resume()).reason == "outage"
    await book.closed(await probe(book))
    assert await reason(book) is None


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


async def test_a_late_word_opens_the_gate(book: Book) -> None:
    """A late "closed" by the probe's lost lease opens the gate, and leaves each closure in exactly one index."""
    await outage(book)
    book.clock.forward(1)
    first = await probe(book)
    book.clock.forward(LEASE_S)
    await book.settle(await book.claim(first.reference), State.FAILED, reason=Reason.GONE, health=ApiHealth.UNKNOWN)
    assert await book.closed(first, Outcome.CLOSED)
    assert await reason(book) is None
    assert await book.state(first.reference) is State.CLOSED
    assert await book.agenda(first.reference) is None


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
