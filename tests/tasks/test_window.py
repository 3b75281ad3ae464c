"""The window: how many calls the gate lets into flight after an outage and at a worker's start."""

from __future__ import annotations

from tasks.ledger.values import Unclaimed
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.outages import outage, probe, reopened


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
