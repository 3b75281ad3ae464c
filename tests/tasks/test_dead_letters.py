"""Dead letters, as part of the ledger's contract: identical bytes are kept once, and nothing that was kept is lost."""

from __future__ import annotations

from typing import Any, cast

import pytest
from redis.asyncio import Redis

from tasks.events.batch import Element
from tasks.events.event import Rejection
from tasks.ledger.audit import AuditEntry
from tasks.ledger.dead_letter import DeadLetter
from tasks.ledger.notices import NoticeKind
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.noticed import told

WRONG = Rejection(("event: a", "b: c"))
OF_A_TYPE = Rejection(("type: x.y",), "x.y")
DAY_S = 86_400
SIDE_KEYS = ["rejected_same", "rejected_times", "waiting_types"]


async def letters(book: Book) -> list[DeadLetter]:
    """Every rejected event, newest first."""
    return [one async for one in book.ledger.dead_letters.newest()]


async def counts(book: Book) -> dict[bytes, int]:
    """How often each came."""
    return {one.body: one.times for one in await letters(book)}


async def times_known(book: Book) -> int:
    """Of how many rejected events it is known how often they came."""
    return int(await cast("Any", book.redis.hlen(key_of("rejected_times"))))


async def test_identical_bytes_are_kept_once(book: Book) -> None:
    """With how often they came, and when first and last; other bytes, and other types, are kept beside them."""
    first = await book.ledger.dead_letters.reject(b"a", WRONG, "1-0")
    book.clock.forward(60)
    for origin in ("2-0", "3-0"):
        assert await book.ledger.dead_letters.reject(b"a", WRONG, origin) == first
    await book.ledger.dead_letters.reject(b"b", WRONG, "4-0")
    await book.ledger.dead_letters.reject(b"a", OF_A_TYPE, "5-0")
    *_, one = await letters(book)
    assert (one.rejected_id, one.origin, one.times, one.last_ms) == (first, "1-0", 3, book.clock.ms)
    assert one.at == one.as_json()["at"]
    assert [(one.body, one.refused_type, one.times) for one in await letters(book)] == [
        (b"a", "x.y", 1), (b"b", None, 1), (b"a", None, 3),
    ]  # fmt: skip


async def test_a_delivery_is_counted_once(book: Book) -> None:
    """The reply to `keep` may be lost: the same delivery again changes nothing, another one counts."""
    for _ in range(2):
        await book.ledger.dead_letters.keep([Element(b"a", "task 1", WRONG)], unique=False)
    await book.ledger.dead_letters.keep([Element(b"a", "task 2", WRONG)], unique=False)
    for _ in range(2):
        await book.ledger.dead_letters.keep([Element(b"b", "1-0", WRONG), Element(b"b", "1-0/1", WRONG)])
    assert await counts(book) == {b"a": 2, b"b": 2}


@pytest.mark.parametrize("unique", [True, False])
async def test_a_delivery_that_was_dealt_with(book: Book, unique: bool) -> None:
    """One with a name of its own is not kept again; one whose sender chose the name is, for it may be another event."""
    element = Element(b"a", "1-0", WRONG)
    await book.ledger.dead_letters.keep([element], unique=unique)
    [one] = await letters(book)
    await book.ledger.dead_letters.dismiss([one.rejected_id], audit="")
    assert await book.ledger.dead_letters.keep([element], unique=unique) == (0 if unique else 1)
    assert len(await letters(book)) == (0 if unique else 1)


async def test_many_are_kept_in_one_step(real: Redis) -> None:
    """However many events of a batch are rejected, one script keeps all of them."""
    letters = Book(real).ledger.dead_letters
    await letters.keep([Element(b"x", "0-0", WRONG)])
    await real.config_resetstat()
    assert await letters.keep([Element(b"%d" % number, f"{number}-0", WRONG) for number in range(500)]) == 500
    stats = await real.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1
    assert await real.xlen(key_of("rejected")) == 501


async def test_the_same_bytes_within_a_step(book: Book) -> None:
    """However many events a step keeps, each is counted, before and after the numbers of the first 500 are written."""
    keep = book.ledger.dead_letters.keep
    bodies = [b"a", *(b"%d" % number for number in range(600)), b"a", b"a", b"0"]
    elements = [Element(body, f"{place}-0", WRONG) for place, body in enumerate(bodies)]
    assert await keep(elements[:3]) == 3
    assert await keep(elements) == 601
    found = await counts(book)
    assert (found[b"a"], found[b"0"], found[b"599"], len(found)) == (3, 2, 1, 601)
    assert await times_known(book) == 601


@pytest.mark.parametrize("index", ["gone", "another", "not an id", "of a wrong kind"])
async def test_an_index_that_is_wrong_loses_nothing(book: Book, index: str) -> None:
    """The stream alone says whether bytes are kept: an older closer deletes there, another program writes anything."""
    first = await book.ledger.dead_letters.reject(b"a", WRONG, "1-0")
    [digest] = await cast("Any", book.redis.hkeys(key_of("rejected_same")))
    other = await book.ledger.dead_letters.reject(b"b", WRONG, "2-0")
    if index == "gone":
        await book.redis.xdel(key_of("rejected"), first)
    elif index == "of a wrong kind":
        await book.redis.delete(*(key_of(name) for name in SIDE_KEYS))
        for name in SIDE_KEYS:
            await book.redis.set(key_of(name), "x")
    else:
        pointed = other if index == "another" else "x"
        await cast("Any", book.redis.hset(key_of("rejected_same"), digest, pointed))
    again = await book.ledger.dead_letters.reject(b"a", OF_A_TYPE if index == "of a wrong kind" else WRONG, "3-0")
    assert again not in (first, other)
    assert again in [one.rejected_id for one in await letters(book) if one.body == b"a"]


async def test_what_is_dismissed_leaves_nothing_behind(book: Book) -> None:
    """Neither a count nor an index; the type's count falls by how often the event came."""
    for delivery in ("1-0", "2-0", "3-0"):
        await book.ledger.dead_letters.reject(b"a", OF_A_TYPE, delivery)
    await book.ledger.dead_letters.reject(b"b", OF_A_TYPE, "4-0")
    second, first = await letters(book)
    assert await book.ledger.dead_letters.dismiss([first.rejected_id], audit="") == 1
    assert await book.redis.hgetall(key_of("waiting_types")) == {b"x.y": b"1"}
    assert await times_known(book) == 1
    await cast("Any", book.redis.hset(key_of("rejected_times"), "1-1", "left behind by an older closer"))
    assert await book.ledger.dead_letters.dismiss([second.rejected_id], audit="") == 1
    assert not await book.redis.exists(*map(key_of, SIDE_KEYS))


async def test_large_ones_are_dismissed_a_few_in_a_step(book: Book) -> None:
    """A step ends after about a mebibyte, and the next goes on: each is counted once in the audit."""
    ids = [await book.ledger.dead_letters.reject(bytes([65 + n]) * 400_000, WRONG, f"{n}-0") for n in range(8)]
    assert await book.ledger.dead_letters.dismiss([*ids, "1-1"], audit="1-0") == 8
    results: Any = await book.redis.xrange(key_of("audit"))
    assert [fields[b"changed"] for _, fields in results] == [b"3", b"3", b"2"]
    assert results[-1][1][b"skipped"] == b'{"unknown":1}'


async def test_heads_have_no_bytes(book: Book) -> None:
    """They tell all else, oldest first, up to a time; what another program wrote is told as damaged."""
    await book.ledger.dead_letters.reject(b"abc", OF_A_TYPE, "1-0")
    await book.redis.xadd(key_of("rejected"), {"x": "y"}, id="99999999999999-0")
    first, damaged = [one async for one in book.ledger.dead_letters.heads(99999999999999)]
    assert (first.size, first.problems, first.refused_type, first.times) == (3, ("type: x.y",), "x.y", 1)
    assert "closer did not write this entry so" in damaged.problems[0]
    assert [one.rejected_id async for one in book.ledger.dead_letters.heads(99999999999998)] == [first.rejected_id]


async def test_they_are_forgotten_by_age(book: Book) -> None:
    """Those that last came before that, page by page, with one entry in the audit; one that came again lately stays."""
    await _at_the_stores_time(book)
    for number in range(450):
        await book.ledger.dead_letters.reject(b"%d" % number, WRONG, f"{number}-0")
    book.clock.forward(9 * DAY_S)
    await book.ledger.dead_letters.reject(b"7", WRONG, "500-0")
    await book.ledger.dead_letters.reject(b"449", WRONG, "501-0")
    book.clock.forward(2 * DAY_S)
    assert await forget(book, 20 * DAY_S) == [0]
    assert await forget(book, 10 * DAY_S) == [199, 200, 49, 0]
    assert await counts(book) == {b"7": 2, b"449": 2}
    assert await times_known(book) == 2
    [entry] = [one async for one in book.ledger.audit.entries() if isinstance(one, AuditEntry)]
    assert (entry.action.name, entry.action.action, entry.action.why) == ("closer", "forget rejected", "a test")
    assert (entry.matched, entry.changed) == (448, 448)


async def _at_the_stores_time(book: Book) -> None:
    """Ids tell the store's own time, so the explicit clock begins there."""
    rejected_id: Any = await book.redis.xadd(key_of("rejected"), {"x": "y"})
    await book.redis.xdel(key_of("rejected"), rejected_id)
    book.clock.ms = int(rejected_id.decode().partition("-")[0])


async def forget(book: Book, keep_s: float) -> list[int]:
    """A whole round: how many each step has deleted."""
    numbers, after, audit = [], "-", ""
    while after:
        number, after, audit = await book.ledger.dead_letters.forget(
            keep_s=keep_s, why="a test", after=after, audit=audit
        )
        numbers.append(number)
    return numbers


async def test_many_within_an_hour_are_told(book: Book) -> None:
    """A thousand events, whether kept or counted, within an hour are told once; again after an hour, not before."""
    growing: list[int] = []
    fields: list[dict[str, Any]] = []
    for number, forward_s in ((999, 3599), (0, 1), (998, 60), (1, 0), (1, 60), (5000, 3600), (1500, 0)):
        elements = [Element(b"a", f"{len(growing)}-{one}", WRONG) for one in range(number)]
        await book.ledger.dead_letters.keep(elements)
        fields = [fields for kind, fields in await told(book.ledger.notices) if kind is NoticeKind.REJECTED_GROWING]
        growing.append(len(fields))
        book.clock.forward(forward_s)
    assert growing == [0, 0, 0, 0, 1, 1, 2]
    assert fields[-1]["waiting"] == 1
    assert fields[-1]["events"] >= 1000


async def test_a_spoilt_count_of_the_hour(any_store: Redis) -> None:
    """What another program wrote into the counts of the last hour is passed over and taken off."""
    book = Book(any_store)
    await cast("Any", any_store.hset(key_of("rejected_rate"), mapping={"x": "y", "1": "5000", "nan": "1", "": "z"}))
    await book.ledger.dead_letters.reject(b"a", WRONG, "1-0")
    assert len(await cast("Any", any_store.hkeys(key_of("rejected_rate")))) == 1
    assert NoticeKind.REJECTED_GROWING not in [kind for kind, _ in await told(book.ledger.notices)]
