"""What is not an event is kept as rejected, once, and which types of events came is known for a day."""

from __future__ import annotations

from typing import Any

from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection
from tests.support import key_of
from tests.tasks.book import Book


async def test_rejected(book: Book) -> None:
    """What is not an event is kept with its bytes, the reason, and its origin."""
    rejected_id = await book.ledger.dead_letters.reject(b"\xff\x00", Rejection(("event: a", "b: c")), "task 1")
    rejected: Any = await book.redis.xrange(key_of("rejected"))
    [(entry_id, fields)] = rejected
    assert entry_id.decode() == rejected_id
    assert fields == {b"event": b"\xff\x00", b"problems": b'["event: a", "b: c"]', b"origin": b"task 1"}


async def test_what_comes_again_is_rejected_once(book: Book) -> None:
    """A delivery is kept and counted once, also when it was dismissed meanwhile; an event is not kept at all."""
    wrong = Rejection(("type: x.y",), "x.y")
    elements = [Element(b"a", "1-0/0", wrong), Element(b"b", "1-0/1", GroupComplete("sg_1", "s", "1-0/1")),
                Element(b"a", "1-0/2", wrong), Element(b"c", "1-0/2", Rejection(("event: z",)))]  # fmt: skip
    assert await book.ledger.dead_letters.keep(elements[:2]) == 1
    assert await book.ledger.dead_letters.keep(elements) == 2
    assert await book.ledger.dead_letters.keep(elements[1:2]) == 0
    entries: Any = await book.redis.xrange(key_of("rejected"))
    assert [(fields[b"event"], fields[b"origin"]) for _, fields in entries] == [(b"a", b"1-0/0"), (b"c", b"1-0/2")]
    assert await book.redis.hgetall(key_of("waiting_types")) == {b"x.y": b"2"}
    assert await book.ledger.dead_letters.dismiss([entries[0][0].decode(), "1-1"], audit="") == 1
    assert await book.redis.hgetall(key_of("waiting_types")) == {}
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
