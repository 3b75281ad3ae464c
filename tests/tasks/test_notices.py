"""Notices: each change that somebody may want to be told of is written once, in the step that makes it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Reason, State
from tasks.errors import StoreUnavailable
from tasks.events.event import Rejection
from tasks.ledger.heartbeat import Unreadable
from tasks.ledger.ledger import Ledger
from tasks.ledger.notices import Notice, NoticeKind, Notices
from tests.support import key_of
from tests.tasks.book import LEASE_S, START_MS, Book

LIMIT = 5000  # as in lua/lib/notices.lua
KEY, TOLD = key_of("notices"), key_of("told")


@pytest.fixture
def notices(book: Book) -> Notices:
    """The notices of an empty ledger."""
    return book.ledger.notices


async def told(notices: Notices) -> list[tuple[NoticeKind, dict[str, Any]]]:
    """All of them, by kind and fields."""
    page = await notices.read(limit=LIMIT)
    assert page.missed == 0
    return [(one.kind, dict(one.fields)) for one in page.notices if isinstance(one, Notice)]


async def kinds(notices: Notices) -> list[str]:
    """The kinds of all of them, in order."""
    return [kind.value for kind, _ in await told(notices)]


async def refused(book: Book, reference: str, key: str = "") -> None:
    """A call for this group is refused with 401."""
    await book.receive(reference)
    await book.settle(await book.claim(reference, key=key), State.QUEUED, key=key, health=ApiHealth.UNAUTHORISED)


async def test_a_pause(book: Book, notices: Notices) -> None:
    """Who has shut the gate, and why; and for how long it was shut. What changes nothing is not told."""
    await book.ledger.gate.pause(by="ann", why="stocktaking")
    await book.ledger.gate.pause(by="ben", why="again")
    book.clock.forward(60)
    await book.ledger.gate.resume(by="ann", why="done")
    await book.ledger.gate.resume(by="ann", why="done")
    assert await told(notices) == [
        (NoticeKind.GATE_SHUT, {"reason": "paused", "by": "ann", "why": "stocktaking"}),
        (NoticeKind.GATE_OPENED, {"reason": "paused", "shut_ms": 60_000}),
    ]


async def test_a_gate_that_is_shut_and_open_again_before_anybody_looks(book: Book, notices: Notices) -> None:
    """A Retry-After that is over by itself has both notices, with the time that the API asked for."""
    before = await notices.read()
    await book.ledger.gate.throttle(2)
    book.clock.forward(3)
    await book.due()
    page = await notices.read(after=before.cursor)
    shut, opened = page.notices
    assert isinstance(shut, Notice)
    assert isinstance(opened, Notice)
    assert (shut.kind, shut.at_ms, shut.fields["reason"]) == (NoticeKind.GATE_SHUT, START_MS, "throttled")
    assert shut.fields["till"] == START_MS + 2001
    assert (opened.kind, opened.fields["reason"]) == (NoticeKind.GATE_OPENED, "throttled")


async def test_reasons_side_by_side(book: Book, notices: Notices) -> None:
    """Each reason is told when it begins and when it ends; the gate opens with the last."""
    await book.ledger.gate.throttle(2)
    await book.ledger.gate.pause(by="ann", why="x")
    book.clock.forward(3)
    await book.due()
    await book.ledger.gate.resume(by="ann", why="x")
    assert await kinds(notices) == ["gate_shut", "gate_shut", "gate_reason_over", "gate_opened"]


async def test_a_key(book: Book, notices: Notices) -> None:
    """A key that is refused, and accepted again by its probe, with the gate that this shuts and opens."""
    await book.alive(w1="k")
    await refused(book, "sg_1", "k")
    book.clock.forward(16)
    await book.alive(w1="k")
    [probe] = await book.due(key="k")
    await book.closed(await book.claim(probe, key="k"), key="k")
    assert await kinds(notices) == ["key_suspended", "gate_shut", "key_accepted", "gate_opened"]
    assert (await told(notices))[0][1] == {"key": "k", "cause": "the API refuses it with 401"}


async def test_a_key_that_nobody_has_any_more(book: Book, notices: Notices) -> None:
    """It is told as forgotten, not as accepted."""
    await book.alive(w1="k", w2="good")
    await refused(book, "sg_1", "k")
    book.clock.forward(3700)
    await book.alive(w2="good")
    assert await kinds(notices) == ["key_suspended", "key_forgotten"]


async def fail(book: Book, *references: str, reason: Reason = Reason.GONE) -> None:
    """These fail for this reason."""
    for reference in references:
        await book.receive(reference)
        await book.failed(reference, reason)


async def test_the_first_failure_of_a_reason(book: Book, notices: Notices) -> None:
    """The first for each reason is told; further ones are not, until none has come for an hour."""
    await fail(book, "sg_1", "sg_2")
    await fail(book, "sg_3", reason=Reason.NOT_LOCKED)
    book.clock.forward(3599)
    await fail(book, "sg_4")
    book.clock.forward(3601)
    await fail(book, "sg_5")
    assert await told(notices) == [
        (NoticeKind.FAILURE, {"reason": "gone", "reference": "sg_1"}),
        (NoticeKind.FAILURE, {"reason": "not_locked", "reference": "sg_3"}),
        (NoticeKind.FAILURE, {"reason": "gone", "reference": "sg_5"}),
    ]


async def test_a_failure_after_all_were_dealt_with(book: Book, notices: Notices) -> None:
    """When none stands failed any more the next one is told; one group that fails again and again once a minute."""
    await fail(book, "sg_1")
    for _ in range(3):
        await book.ledger.requeue(["sg_1"])
        await book.failed("sg_1")
    assert await kinds(notices) == ["failure"]
    await book.ledger.discard(["sg_1"])
    book.clock.forward(60)
    await fail(book, "sg_2")
    assert await kinds(notices) == ["failure", "failure"]


async def reject(book: Book, how_many: int) -> list[str]:
    """Events that are not ones."""
    rejection = Rejection(("reference: is missing",))
    return [await book.ledger.dead_letters.reject(b"x", rejection, "test") for _ in range(how_many)]


async def test_rejected_events(book: Book, notices: Notices) -> None:
    """The first of a run is told, then one in ten minutes at most, with how many wait."""
    [first, *_] = await reject(book, 50)
    book.clock.forward(599)
    await reject(book, 1)
    book.clock.forward(1)
    [later] = await reject(book, 1)
    assert await told(notices) == [
        (NoticeKind.REJECTED, {"id": first, "problem": "reference: is missing", "waiting": 1}),
        (NoticeKind.REJECTED, {"id": later, "problem": "reference: is missing", "waiting": 52}),
    ]


@pytest.mark.parametrize("problems", [("ü" * 200,), ()], ids=["long", "none"])
async def test_a_rejected_event_with_an_odd_problem(book: Book, notices: Notices, problems: tuple[str, ...]) -> None:
    """A problem that is too long for a notice, or not told, is left out, and the event is kept all the same."""
    rejected_id = await book.ledger.dead_letters.reject(b"x", Rejection(problems), "test")
    assert await told(notices) == [(NoticeKind.REJECTED, {"id": rejected_id, "waiting": 1})]


async def test_what_another_program_wrote_into_the_agenda(book: Book, notices: Notices) -> None:
    """It is kept as a rejected event, and told like one."""
    await book.redis.zadd(key_of("agenda"), {"no/reference": 1})
    await book.due()
    assert await kinds(notices) == ["rejected"]


async def test_damage(book: Book, notices: Notices) -> None:
    """What the inspection puts right is told when it begins and when it has looked at everything."""
    await book.receive("sg_1")
    await book.redis.delete(key_of("agenda"))
    await book.inspect()
    (begun, _), (ended, fields) = await told(notices)
    assert (begun, ended) == (NoticeKind.LEDGER_DAMAGED, NoticeKind.LEDGER_REBUILT)
    assert fields == {"agenda": 1, "index": 0, "stale": 0, "aside": 0, "unknown": 0}


async def test_a_move_to_another_api(book: Book, notices: Notices) -> None:
    """From where to where, and by whom; a move that was refused is not told."""
    await Ledger(book.redis, api="https://old", clock=book.clock).policy.hold_api()
    await book.ledger.heartbeats.write("w1", {"api": "https://old"})
    await book.ledger.policy.move_api("https://new", by="ann", why="moved")
    assert await told(notices) == []
    await book.ledger.heartbeats.write("w1")
    await book.ledger.policy.move_api("https://new", by="ann", why="moved")
    fields = {"from": "https://old", "to": "https://new", "by": "ann", "why": "moved"}
    assert await told(notices) == [(NoticeKind.API_MOVED, fields)]


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


Steps = dict[str, Callable[[Book], Awaitable[object]]]


async def test_nothing_is_spent_where_nothing_happens(book: Book, real: Redis) -> None:
    """Work that goes well touches neither the notices nor what was told."""
    book = Book(real)
    seen: list[str] = []
    async with real.monitor() as monitor:
        for reference in ("sg_1", "sg_2"):
            await book.receive(reference)
            await book.due()
            await book.closed(await book.claim(reference))
        await book.alive(w1="k")
        await book.ledger.inspector.step(lease_s=LEASE_S)
        await real.ping()
        async for command in monitor.listen():
            seen.append(json.dumps(command))
            if "PING" in seen[-1]:
                break
    assert len(seen) > 50
    assert not [line for line in seen if KEY in line or TOLD in line]


async def test_what_no_script_does(book: Book, notices: Notices) -> None:
    """A bulk action's end is told by whoever has done it, and is numbered like the others."""
    await book.ledger.gate.pause()
    fields = {"action": "requeue", "by": "ann", "why": "ü", "id": "1-1", "matched": 3, "changed": 2, "stopped": True}
    await notices.tell(NoticeKind.ACTION_ENDED, fields)
    assert (await told(notices))[1] == (NoticeKind.ACTION_ENDED, fields)


async def test_a_notice_for_other_programs(book: Book, notices: Notices) -> None:
    """As JSON a notice has its number, its time in ISO 8601, its kind and its fields."""
    await book.ledger.gate.pause(by="ann", why="x")
    [one] = await notices.latest(1)
    assert isinstance(one, Notice)
    fields = {"reason": "paused", "by": "ann", "why": "x"}
    assert one.as_json() == {"number": 1, "at": "2023-11-14T22:13:20.000Z", "kind": "gate_shut", "fields": fields}
