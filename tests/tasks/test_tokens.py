"""Tokens, as part of the ledger's contract: kept by their hash, found by it, gone when they are revoked."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from tasks.ledger.tokens import SECRET_PREFIX, Token, Tokens, digest_of, new_secret
from tasks.ledger.values import Unreadable
from tests.support import key_of
from tests.tasks.book import Book

SECRET = "closer_x"
DIGEST = digest_of(SECRET)
BY: dict[str, str] = {"by": "anna", "why": "w", "door": "test"}


async def make(
    book: Book, name: str = "leeds", secret: str = SECRET, lasts_s: float | None = None, **more: Any
) -> bool:
    """Make a token."""
    record = {"name": name, "role": "emitter", **more}
    return await book.ledger.tokens.create(digest_of(secret), record, lasts_s=lasts_s, **BY)


def test_a_secret_is_long_and_can_be_recognised() -> None:
    """It holds 256 random bits behind its prefix, and no two are the same."""
    made = {new_secret() for _ in range(50)}
    assert len(made) == 50
    assert all(re.fullmatch(SECRET_PREFIX + r"[A-Za-z0-9_-]{43}", one) for one in made)


async def test_a_token_is_found_by_its_secret(book: Book) -> None:
    """It has everything that it was made with, and the store's time. The store does not hold the secret."""
    assert await make(book, lasts_s=60, sources=["wms"], prefixes=["LDS-"])
    now_ms = book.clock()
    found = await book.ledger.tokens.look([DIGEST, digest_of("another")])
    token = Token(DIGEST, "leeds", "emitter", now_ms, now_ms + 60_000, ("wms",), ("LDS-",), "anna", None)
    assert found == Tokens(now_ms, 1, [token])
    assert (found.get(DIGEST), found.get("another")) == (token, None)
    kept: Any = await book.redis.hgetall(key_of("tokens"))
    assert SECRET.encode() not in b"".join([*kept, *kept.values()])


async def test_its_time_is_over_by_the_stores_clock(book: Book) -> None:
    """Up to that millisecond it is good, and then it is not; one without an end is good for ever."""
    await make(book, lasts_s=60)
    await make(book, "london", "closer_y")
    book.clock.forward(59.999)
    ends, lasts = (await book.ledger.tokens.look([DIGEST, digest_of("closer_y")])).found
    assert isinstance(ends, Token)
    assert isinstance(lasts, Token)
    assert (ends.expired(book.clock()), ends.expired(book.clock() + 1), lasts.expired(2**52)) == (False, True, False)


async def test_two_tokens_never_share_a_name(book: Book) -> None:
    """The second is not made, and the first stays as it was; nothing of it is in the audit."""
    assert await make(book)
    assert not await make(book, secret="closer_y")
    assert (await book.ledger.tokens.all()).count == 1
    assert (await book.ledger.tokens.look([digest_of("closer_y")])).found == []
    assert len([one async for one in book.ledger.audit.entries()]) == 1


async def test_a_revoked_token_is_gone(book: Book) -> None:
    """It is not found, its last use is forgotten, its name is free, and to revoke it again does nothing."""
    await make(book)
    await book.ledger.tokens.used(DIGEST)
    assert await book.ledger.tokens.revoke("leeds", **BY)
    assert not await book.ledger.tokens.revoke("leeds", **BY)
    assert await book.ledger.tokens.look([DIGEST]) == Tokens(book.clock(), 0, [])
    assert not await book.redis.exists(key_of("tokens_used"))
    await book.ledger.tokens.used(DIGEST)  # a request that was under way
    assert not await book.redis.exists(key_of("tokens_used"))
    assert await make(book)


async def test_the_last_use_is_kept(book: Book) -> None:
    """It is the store's time."""
    await make(book)
    book.clock.forward(5)
    await book.ledger.tokens.used(DIGEST)
    [token] = (await book.ledger.tokens.all()).found
    assert isinstance(token, Token)
    assert token.used_ms == book.clock()
    assert token.as_json()["last_used_at"] == "2023-11-14T22:13:25.000Z"


async def test_what_is_made_and_revoked_is_in_the_audit(book: Book) -> None:
    """With the name of the token, who, why and the door; never with the secret or its hash."""
    await make(book)
    await book.ledger.tokens.revoke("leeds", **BY)
    entries: Any = [one async for one in book.ledger.audit.entries()]
    actions = [one.action for one in entries]
    assert [(one.action, one.selection, one.name, one.why, one.door) for one in actions] == [
        ("revoke token", {"token": "leeds"}, "anna", "w", "test"),
        ("create token", {"token": "leeds"}, "anna", "w", "test"),
    ]  # fmt: skip
    assert [(one.matched, one.changed, one.unfinished) for one in entries] == [(1, 1, 0)] * 2
    assert DIGEST not in json.dumps([one.as_json() for one in entries])


@pytest.mark.parametrize(
    "record",
    [
        "not json",
        "[]",
        '{"name": "x"}',
        '{"name": 7, "role": "admin", "created": 1}',
        '{"name": "x", "role": "admin", "created": "soon"}',
        '{"name": "x", "role": "emitter", "created": 1, "sources": {}}',
        '{"name": "x", "role": "emitter", "created": 1, "sources": []}',
        '{"name": "x", "role": "emitter", "created": 1, "prefixes": [7]}',
        '{"name": "x", "role": "emitter", "created": 1, "expires": "never"}',
    ],
)
async def test_what_another_program_wrote_lets_nobody_in(book: Book, record: str) -> None:
    """A record that cannot be read is not a token. A binding that cannot be read never counts as no binding."""
    await book.redis.hset(key_of("tokens"), DIGEST, record)
    found = await book.ledger.tokens.look([DIGEST])
    assert found.found == [Unreadable(DIGEST)]
    assert found.get(DIGEST) is None
    assert await make(book, "other", "closer_y")


async def test_an_odd_last_use_is_none(book: Book) -> None:
    """The token is good all the same."""
    await make(book)
    await book.redis.hset(key_of("tokens_used"), DIGEST, "yesterday")
    [token] = (await book.ledger.tokens.all()).found
    assert isinstance(token, Token)
    assert token.used_ms is None
