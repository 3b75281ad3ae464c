"""The stream of notices: its cursors, its limit, and what other programs may do to it."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.errors import StoreUnavailable
from tasks.ledger.ledger import Ledger
from tasks.ledger.notices import Notice, Notices
from tasks.ledger.values import Unreadable
from tests.tasks.book import Book
from tests.tasks.noticed import KEY, LIMIT, TOLD, fail, kinds, reject


async def test_a_cursor(book: Book, notices: Notices) -> None:
    """Pages follow one another; at the end a page is empty and its cursor stands still."""
    for _ in range(3):
        await book.ledger.gate.pause()
        await book.ledger.gate.resume()
    pages = [await notices.read(limit=4)]
    for _ in range(2):
        pages.append(await notices.read(after=pages[-1].cursor, limit=4))
    numbers = [[one.number for one in page.notices if isinstance(one, Notice)] for page in pages]
    assert numbers == [[1, 2, 3, 4], [5, 6], []]
    assert pages[2].cursor == pages[1].cursor
    assert [one.number for one in await notices.latest(2) if isinstance(one, Notice)] == [6, 5]


@pytest.mark.parametrize("lost", ["trimmed", "deleted"])
async def test_a_cursor_that_fell_out(book: Book, notices: Notices, lost: str) -> None:
    """A reader that comes too late is told how many notices it has missed."""
    await book.ledger.gate.pause()
    cursor = (await notices.read()).cursor
    for _ in range(3):
        await book.ledger.gate.resume()
        await book.ledger.gate.pause()
    if lost == "trimmed":
        await book.redis.xtrim(KEY, maxlen=1, approximate=False)
    else:
        await book.redis.delete(KEY)
        await book.ledger.gate.resume()
    page = await notices.read(after=cursor)
    assert page.missed == (5 if lost == "trimmed" else 6)
    assert len(page.notices) == 1
    assert (await notices.read(after=page.cursor)).missed == 0


async def test_the_stream_is_capped(book: Book, notices: Notices) -> None:
    """However much happens, the stream keeps the last few thousand notices."""
    async with book.redis.pipeline(transaction=False) as pipe:
        for _ in range(LIMIT + 1000):
            pipe.xadd(KEY, {"x": "x"})
        await pipe.execute()
    await book.ledger.gate.pause()
    assert LIMIT <= await book.redis.xlen(KEY) < LIMIT + 200
    assert [type(one) for one in await notices.latest(2)] == [Notice, Unreadable]


ODD: dict[str, dict[Any, Any]] = {
    "no fields of ours": {"x": "x"},
    "an unknown kind": {"v": 1, "number": 1, "kind": "tea", "at": 1, "fields": "{}"},
    "no JSON": {"v": 1, "number": 1, "kind": "gate_shut", "at": 1, "fields": "{"},
    "no object": {"v": 1, "number": 1, "kind": "gate_shut", "at": 1, "fields": "[]"},
    "nested": {"v": 1, "number": 1, "kind": "gate_shut", "at": 1, "fields": "[" * 50_000},
    "no UTF-8": {"v": 1, "number": 1, "kind": b"\xff", "at": 1, "fields": "{}"},
    "no number": {"v": 1, "number": "one", "kind": "gate_shut", "at": 1, "fields": "{}"},
    "a huge number": {"v": 1, "number": "9" * 400, "kind": "gate_shut", "at": 1, "fields": "{}"},
    "no time": {"v": 1, "number": 1, "kind": "gate_shut", "at": "-1", "fields": "{}"},
}


@pytest.mark.parametrize("how", ODD)
async def test_an_entry_that_cannot_be_read(book: Book, notices: Notices, how: str) -> None:
    """It is returned as unreadable, in its place, and is not counted as missed."""
    await book.ledger.gate.pause()
    entry_id: Any = await book.redis.xadd(KEY, ODD[how])
    await book.ledger.gate.resume()
    page = await notices.read()
    assert [type(one) for one in page.notices] == [Notice, Unreadable, Notice]
    assert (page.notices[1].name, page.missed) == (entry_id.decode(), 0)
    if how == "an unknown kind":  # as a newer closer writes it: with a number of its own
        await book.redis.hset(TOLD, "number", 3)
        await book.ledger.gate.pause()
        later = await notices.read(after=page.cursor)
        assert later.missed == 1


@pytest.mark.parametrize("cursor", ["", "x", "1-1", "1-1/", "/1", "1-1/1/1", "٣-٣/٣"])
async def test_a_cursor_that_is_none(book: Book, notices: Notices, cursor: str) -> None:
    """Whatever is given as a cursor and is not one, the reader begins with the oldest notice."""
    await book.ledger.gate.pause()
    assert len((await notices.read(after=cursor)).notices) == 1


@pytest.mark.parametrize("key", [KEY, TOLD])
async def test_a_key_of_another_kind(book: Book, notices: Notices, key: str) -> None:
    """Another program's key in the place of the notices does not stop what they tell of."""
    await book.redis.set(key, "x")
    await book.ledger.gate.pause()
    assert not (await book.ledger.gate.look()).open
    await fail_while_shut(book)
    await reject(book, 1)
    await book.redis.delete(key)
    await book.ledger.gate.resume()
    assert (await kinds(notices))[-1] == "gate_opened"


async def fail_while_shut(book: Book) -> None:
    """A closure fails, and the gate does not matter."""
    await book.ledger.gate.resume()
    await fail(book, "sg_1")
    await book.ledger.gate.pause()


async def test_a_spoilt_count(book: Book, notices: Notices) -> None:
    """A count that another program has spoilt begins anew, and a reader goes on with it."""
    await book.ledger.gate.pause()
    cursor = (await notices.read()).cursor
    await book.redis.hset(TOLD, "number", "many")
    await book.ledger.gate.resume()
    await book.ledger.gate.pause()
    page = await notices.read(after=cursor)
    assert [one.number for one in page.notices if isinstance(one, Notice)] == [1, 2]
    assert page.missed == 0


async def test_a_store_that_is_away() -> None:
    """Readers are told so in closer's own words."""
    away = Ledger(Redis.from_url("redis://127.0.0.1:1")).notices
    for read in (away.read, lambda: away.latest(1)):
        with pytest.raises(StoreUnavailable):
            await read()
