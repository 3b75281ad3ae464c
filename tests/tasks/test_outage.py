"""An outage of the API: what shuts the gate, how it is probed, and what opens the gate again."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State
from tasks.ledger.values import Unclaimed
from tests.support import key_of
from tests.tasks.book import LEASE_S, Book
from tests.tasks.outages import GROUPS, RETRY, fail, outage, probe, reason


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


async def raw(book: Book, field: str) -> str:
    """A field of the gate, as it is in the store."""
    value: Any = await book.redis.hget(key_of("gate"), field)
    return value.decode() if value else ""
