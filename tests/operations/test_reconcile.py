"""Correcting the ledger by what the API says: facts count, and late answers do not overwrite newer states."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.closure import Outcome, Reason, State
from tasks.ledger.values import Observation
from tests.support import key_of
from tests.tasks.book import Book


@pytest.fixture
async def book(any_store: Redis) -> Book:
    """A ledger with one closure in each of five states."""
    made = Book(any_store)
    await made.receive("queued", "closing", "closed", "failed", "discarded")
    await made.claim("closing")
    await made.closed(await made.claim("closed"))
    await made.failed("failed")
    await made.failed("discarded")
    await made.ledger.discard(["discarded"])
    return made


@pytest.mark.parametrize(
    ("reference", "word", "state"),
    [
        ("queued", "done", State.CLOSED),
        ("closing", "done", State.CLOSED),
        ("failed", "done", State.CLOSED),
        ("closed", "agree", State.CLOSED),
        ("discarded", "done", State.CLOSED),
    ],
)
async def test_that_a_group_is_closed_counts_in_every_state(
    book: Book, reference: str, word: str, state: State
) -> None:
    """It is closed as already_closed, and off the agenda."""
    assert await book.ledger.reconcile([Observation(reference, True, 0)], audit="1-1", others={}) == [word]
    assert await book.state(reference) is state
    if word == "done":
        assert (await book.read(reference)).outcome is Outcome.ALREADY_CLOSED
        assert await book.redis.zscore(key_of("agenda"), reference) is None
        assert await book.redis.zscore(key_of("open"), reference) is None


@pytest.mark.parametrize("reference", ["queued", "closing", "failed", "discarded"])
async def test_that_a_group_is_open_is_no_news_unless_it_counts_as_closed(book: Book, reference: str) -> None:
    """An open group changes no closure, unless the ledger has it as closed."""
    before = await book.read(reference)
    assert await book.ledger.reconcile([Observation(reference, False, before.entered_ms)], audit="1-1", others={}) == [
        "agree"
    ]
    assert await book.read(reference) == before


async def test_a_closed_one_that_is_open_fails_as_reopened(book: Book) -> None:
    """Its history stays, and an operator can queue it again."""
    since_ms = (await book.read("closed")).entered_ms
    book.clock.forward(1)
    assert await book.ledger.reconcile([Observation("closed", False, since_ms)], audit="1-1", others={}) == ["done"]
    closure = await book.read("closed")
    assert (closure.reason, closure.outcome, closure.attempts) == (Reason.REOPENED, None, 1)
    assert await book.ledger.requeue(["closed"]) == ["done"]
    assert await book.closed(await book.claim("closed"))


async def test_one_that_was_closed_after_the_api_was_asked_is_left_alone(book: Book) -> None:
    """What the API said before cannot count against it."""
    since_ms = (await book.read("closed")).entered_ms
    assert await book.ledger.reconcile([Observation("closed", False, since_ms - 1)], audit="1-1", others={}) == [
        "moved on"
    ]
    assert await book.state("closed") is State.CLOSED


async def test_an_unknown_one_is_counted(book: Book) -> None:
    """Nothing is made up for it; the audit has what was changed, and what was not."""
    assert await book.ledger.reconcile([Observation("never", True, 0)], audit="1-1", others={"agree": 2}) == ["unknown"]
    entries: Any = await book.redis.xrange(key_of("audit"))
    [(_, entry)] = entries
    assert entry[b"of"] == b"1-1"
    assert entry[b"changed"] == b"0"
    assert sorted(entry[b"skipped"].decode().strip("{}").split(",")) == ['"agree":2', '"unknown":1']
