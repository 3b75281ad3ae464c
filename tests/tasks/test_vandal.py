"""Another program writes to the ledger's keys: nothing ends in an error of Python's, and good groups are closed."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from tasks.closure import Reason, State
from tasks.errors import LedgerBroken
from tasks.events.event import Rejection
from tasks.ledger.catalogue import Catalogue, Query
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.values import Received, Settlement, Unreadable
from tests.support import STREAM, key_of
from tests.tasks.book import LEASE_S, START_MS, Book

VALUES: dict[str, bytes] = {
    "no JSON": b"{",
    "empty": b"",
    "no object": b"[]",
    "a number": b"7",
    "null": b"null",
    "no at": b'{"in_flight":1}',
    "at is text": b'{"at":"soon"}',
    "at is null": b'{"at":null}',
    "at is a list": b'{"at":[1]}',
    "at is NaN": b'{"at":NaN}',
    "at is infinite": b'{"at":1e999}',
    "at is huge": b'{"at":1e300}',
    "at is negative": b'{"at":-1}',
    "a count is text": b'{"at":1700000000000,"settled":"many"}',
    "trouble is not text": b'{"at":1700000000000,"trouble":7}',
    "nested": b"[" * 50_000,
    "no UTF-8": b"\xff\xfe",
}
NAMES = [b"monitoring", b"\xff\xfe", b"", b"a\nb", "ü".encode()]
INDEXES = ["agenda", "dispatched", "open", *State, *(f"failed:{reason}" for reason in Reason)]
MEMBERS = [b"a/b", b"", b"\xff\xfe", b"../etc", b"x" * 5000, b"two words"]
SCORES: list[Any] = ["-inf", "inf", "-1", "0", "1e300", str(START_MS), str(START_MS + 10_000_000)]


class Visitors:
    """Everything that workers and operators do with a ledger."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.catalogue = Catalogue(book.redis, clock=book.clock)

    async def look(self) -> None:
        """An operator looks at everything."""
        await self.catalogue.summary(STREAM)
        for order in ("newest", "oldest"):
            page = await self.catalogue.page(Query(), limit=100, order=order)
            json.dumps([closure.as_json() for closure in page.closures])
        for by in ("reason", "source", "code"):
            await self.catalogue.groups(Query(), by)
        references = [reference async for reference, *_ in self.catalogue.references(Query())]
        for closure in await self.book.ledger.read(references):
            json.dumps(closure and closure.as_json())

    async def work_once(self) -> None:
        """Each step of a worker's, though others fail."""
        book = self.book
        steps: list[Callable[[], Awaitable[object]]] = [
            lambda: book.receive("sg_1"), book.due, lambda: book.ledger.heartbeats.write("w1", {}),
            lambda: book.ledger.claim(["sg_1"], worker="w1", lease_s=1), lambda: book.ledger.prune(keep_s=86_400),
            lambda: book.ledger.settle([Settlement("sg_1", 1, State.QUEUED)]), book.ledger.gate.look,
            lambda: book.ledger.dead_letters.reject(b"x", Rejection(("event: x",)), "test"),
            lambda: book.ledger.events.take_off(STREAM, []), lambda: book.ledger.requeue(["sg_1"]),
        ]  # fmt: skip
        for step in steps:
            with suppress(LedgerBroken):
                await step()

    async def work(self, *references: str) -> None:
        """A worker takes groups in and closes them, and nothing else with them."""
        for reference in references:
            await self.book.receive(reference)
        closed: set[str] = set()
        for _ in range(4):
            self.book.clock.forward(LEASE_S)
            for reference in await self.book.due():
                await self.book.closed(await self.book.claim(reference))
                closed.add(reference)
            await self.book.ledger.heartbeats.write("w1", {"in_flight": 1})
            await self.book.ledger.prune(keep_s=86_400)
        assert closed == set(references)
        assert [await self.book.state(reference) for reference in references] == [State.CLOSED] * len(references)


@pytest.fixture
def visitors(book: Book) -> Visitors:
    """Everything that workers and operators do with an empty ledger."""
    return Visitors(book)


@pytest.mark.parametrize("how", VALUES)
async def test_a_foreign_field_of_the_workers(visitors: Visitors, how: str) -> None:
    """It is shown as unreadable beside the workers' own signs of life, is not thrown away, and stops nobody."""
    await visitors.book.redis.hset(key_of("workers"), "monitoring", VALUES[how])
    await visitors.work("sg_1", "sg_2")
    await visitors.look()
    summary = await visitors.catalogue.summary(STREAM)
    assert {type(sign): sign.name for sign in summary.workers} == {Heartbeat: "w1", Unreadable: "monitoring"}


@pytest.mark.parametrize("name", NAMES, ids=repr)
async def test_a_strange_name_among_the_workers(visitors: Visitors, name: bytes) -> None:
    """Whatever bytes a field's name is made of, every worker's own name is read."""
    await visitors.book.redis.hset(key_of("workers"), name, b"x")
    await visitors.work("sg_1")
    _, signs = await visitors.book.ledger.heartbeats.write()
    assert "w1" in {sign.name for sign in signs}
    assert len(signs) == 2


@pytest.mark.parametrize("score", SCORES)
@pytest.mark.parametrize("index", INDEXES)
async def test_foreign_members_of_an_index(visitors: Visitors, index: str, score: Any) -> None:
    """What is not a reference is never named to a worker and never listed; what may be on its way is not blocked."""
    await visitors.book.redis.zadd(key_of(index), dict.fromkeys(MEMBERS, score))
    await visitors.look()
    await visitors.work("sg_1", "sg_2")
    await visitors.look()
    page = await visitors.catalogue.page(Query(), limit=100)
    assert [closure.reference for closure in page.closures] == ["sg_2", "sg_1"]
    await visitors.book.inspect()
    await visitors.look()


@pytest.mark.parametrize("index", INDEXES)
async def test_a_reference_that_one_index_alone_knows(visitors: Visitors, index: str) -> None:
    """A group that another program has written into one index is not closed: nobody is known to have asked for it."""
    await visitors.book.redis.zadd(key_of(index), {"sg_foreign": START_MS})
    await visitors.book.inspect()
    await visitors.work("sg_1", "sg_2")
    visitors.book.clock.forward(6 * 3600)
    await visitors.book.inspect()
    await visitors.work("sg_3")
    entries: Any = await visitors.book.redis.xrange(key_of("rejected"))
    unfinished = index in ("agenda", "dispatched", "open", "queued", "closing", "retrying")
    assert [fields[b"event"] for _, fields in entries] == ([b"sg_foreign"] if unfinished else [])


async def test_what_is_put_aside_is_kept(visitors: Visitors) -> None:
    """A foreign entry of the agenda is kept among the rejected events, where it is loud, with the key it stood in."""
    await visitors.book.redis.zadd(key_of("agenda"), {b"\xff/": 1})
    assert await visitors.book.due() == []
    rejected: Any = await visitors.book.redis.xrange(key_of("rejected"))
    [(_, fields)] = rejected
    assert (fields[b"event"], fields[b"origin"]) == (b"\xff/", key_of("agenda").encode())
    assert await visitors.book.redis.zcard(key_of("agenda")) == 0


@pytest.mark.parametrize("score", [*SCORES[:2], "1e300"])
@pytest.mark.parametrize("index", ["queued", "failed", "open", "agenda"])
async def test_a_spoilt_time_of_a_closure(visitors: Visitors, index: str, score: Any) -> None:
    """A closure with an impossible time in an index can still be looked at."""
    await visitors.book.receive("sg_1")
    if index == "failed":
        await visitors.book.failed("sg_1")
    await visitors.book.redis.zadd(key_of(index), {"sg_1": score})
    await visitors.look()


@pytest.mark.parametrize("state", [State.FAILED, State.CLOSED, State.DISCARDED])
async def test_a_lost_record_of_one_that_had_ended(visitors: Visitors, state: State) -> None:
    """It is shown as unreadable in its state, and is never attempted, whatever the agenda says."""
    book = visitors.book
    await book.receive("sg_1")
    if state is State.CLOSED:
        await book.closed(await book.claim("sg_1"))
    else:
        await book.failed("sg_1")
    if state is State.DISCARDED:
        await book.ledger.discard(["sg_1"])
    await book.redis.delete(key_of("c:sg_1"))
    await book.redis.zadd(key_of("agenda"), {"sg_1": 1})
    assert await book.due() == []
    assert await book.agenda("sg_1") is None
    closure = await book.read("sg_1")
    assert (closure.state, closure.as_json()["last_code"]) == (state, "unreadable")
    page = await visitors.catalogue.page(Query(), limit=10)
    assert [(one.reference, one.state) for one in page.closures] == [("sg_1", state)]
    await visitors.look()
    assert await book.receive("sg_1", event_id="e2") == [Received.NEW]
    book.clock.forward(6 * 3600)
    await book.inspect()
    assert await book.state("sg_1") is State.QUEUED


KEYS = [*INDEXES, "gate", "workers", "inspection", "shared", "policy", "waiting_types", "seen_types", "rejected_once"]
KEYS += ["rejected_same", "rejected_times", "rejected_rate"]
KEYS += ["audit", "rejected", "reconsider", "notices", "told", "c:sg_1"]


@pytest.mark.parametrize("kind", ["string", "list", "set", "hash", "zset"])
@pytest.mark.parametrize("key", KEYS)
async def test_a_key_of_another_kind(visitors: Visitors, key: str, kind: str) -> None:
    """It is told, if it is in the way, and nothing else is raised; once it is gone all goes on by itself."""
    redis, name = visitors.book.redis, key_of(key)
    makers: dict[str, Callable[[], Awaitable[Any]]] = {
        "string": lambda: redis.set(name, "x"),
        "list": lambda: cast("Awaitable[Any]", redis.rpush(name, "x")),
        "set": lambda: cast("Awaitable[Any]", redis.sadd(name, "x")),
        "hash": lambda: cast("Awaitable[Any]", redis.hset(name, "x", "x")),
        "zset": lambda: redis.zadd(name, {"x": 1}),
    }
    await makers[kind]()
    for step in (visitors.look, visitors.work_once, visitors.book.inspect):
        with suppress(LedgerBroken):
            await step()
    await redis.delete(name)
    visitors.book.clock.forward(6 * 3600)
    await visitors.book.inspect()
    await visitors.work("sg_1", "sg_2")
    await visitors.look()


Step = Callable[[Book], Awaitable[object]]
STREAMS: dict[str, Step] = {
    "reject": lambda book: book.ledger.dead_letters.reject(b"x", Rejection(("event: x",)), "test"),
    "dismiss": lambda book: book.ledger.dead_letters.dismiss(["1-1"], audit="1-1"),
}


@pytest.mark.parametrize("step", STREAMS)
@pytest.mark.parametrize("stream", ["rejected", "audit"])
async def test_foreign_entries_of_a_stream(book: Book, any_store: Redis, stream: str, step: str) -> None:
    """An entry of another program in a stream of closer's stops nobody from adding to it."""
    await any_store.xadd(key_of(stream), {b"\xff": b"\xff", b"changed": b"x"}, id="1-1")
    await STREAMS[step](book)
