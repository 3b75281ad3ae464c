"""Damaged records: another program's text in a record harms neither its batch, nor the rest, nor what operators see."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from tasks.closure import Outcome, Reason, State
from tasks.ledger.catalogue import Catalogue, GroupBy, Query
from tasks.ledger.values import Received, Settlement, Unclaimed
from tests.support import key_of
from tests.tasks.book import LEASE_S, Book

# Cut short, of another program, of another version; and fields of a type that is never written.
NO_RECORDS = [
    b"",
    b"{",
    b"3",
    b"[1]",
    b"{}",
    b'{"s":"queued"}',
    b'{"s":"sleeping","e":"wms","i":"1","a":1,"d":1}',
    b"\xff",
]
IMPOSSIBLE: list[dict[str, object]] = [{"d": number} for number in (1e300, -1, float("inf"), float("nan"))]
FIELDS: dict[str, object] = {
    "n": "x",
    "k": {},
    "m": None,
    "x": "x",
    "d": "soon",
    "a": None,
    "e": 3,
    "v": "x",
    "h": [1],
    "q": "x",
    "u": 7,
}
DAMAGES = [*NO_RECORDS, *IMPOSSIBLE, *({name: value} for name, value in FIELDS.items())]
STATES = [State.QUEUED, State.CLOSING, State.RETRYING, State.FAILED, State.CLOSED]


async def damage(book: Book, state: State, how: bytes | dict[str, object]) -> None:
    """Bring `bad` into a state, spoil its record, and let time pass until it is due; `good` waits beside it."""
    await book.receive("good", "bad")
    if state is not State.QUEUED:
        claim = await book.claim("bad")
        if state is not State.CLOSING:
            await book.settle(claim, state, outcome=Outcome.CLOSED, reason=Reason.GONE, delay_s=1)
    record = how if isinstance(how, bytes) else json.dumps(json.loads(await raw(book.redis)) | how)
    await book.redis.set(key_of("c:bad"), record)
    book.clock.forward(LEASE_S + 1)


async def raw(redis: Redis) -> bytes:
    """The record as the store holds it."""
    text = await redis.get(key_of("c:bad"))
    assert isinstance(text, bytes)
    return text


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", DAMAGES, ids=str)
async def test_the_rest_of_its_batch_goes_on(book: Book, state: State, how: bytes | dict[str, object]) -> None:
    """The other closures of the batch are received, found due, claimed and settled."""
    await damage(book, state, how)
    unfinished = state not in (State.FAILED, State.CLOSED)
    assert sorted(await book.due()) == (["bad", "good"] if unfinished else ["good"])
    claims = await book.ledger.claim(["bad", "good"], worker="w1", lease_s=LEASE_S)
    assert claims["bad"] is Unclaimed.UNREADABLE
    closed = [Settlement(ref, 1, State.CLOSED, "h", Outcome.CLOSED) for ref in ("bad", "good")]
    assert (await book.ledger.settle(closed)).written == [False, True]
    assert await book.ledger.requeue(["bad", "good"]) == ["unreadable", "closed"]


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", DAMAGES, ids=str)
async def test_it_is_received_anew(book: Book, state: State, how: bytes | dict[str, object]) -> None:
    """A new event makes it a closure again, in one state and on one index; it can be closed."""
    await damage(book, state, how)
    assert await book.receive("bad", "good", event_id="e2") == [Received.NEW, Received.DUPLICATE]
    assert await book.state("bad") is State.QUEUED
    assert await book.closed(await book.claim("bad"))
    assert await book.state("bad") is State.CLOSED


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("how", DAMAGES, ids=str)
async def test_operators_see_it(book: Book, state: State, how: bytes | dict[str, object]) -> None:
    """Its story tells that it is unreadable and what to do; it is listed in its state; filters look past it."""
    await damage(book, state, how)
    catalogue = Catalogue(book.redis, clock=book.clock)
    page = await catalogue.page(Query(), limit=10)
    listed = {closure.reference: closure for closure in page.closures}
    assert (listed["bad"].state, listed["good"].state) == (state, State.QUEUED)
    closure = await book.read("bad")
    assert (closure.state, closure.as_json()["last_code"]) == (state, "unreadable")
    assert closure.last_attempt
    assert "publish it again" in closure.last_attempt.detail
    assert (await catalogue.page(Query(text="no such text"), limit=10)).closures == []
    for by in ("reason", "source", "code"):
        grouping: GroupBy = by
        groups = await catalogue.groups(Query(), grouping)
        assert [group.count for group in groups.values()] == [1]
