"""Damage and holds, on fakeredis and on a real Valkey: whichever key is damaged or lost, a held group is not called."""

from __future__ import annotations

import pytest

from tasks.closure import State
from tasks.ledger.holds import HoldWord
from tasks.ledger.values import Claim, Received, Unclaimed
from tests.support import key_of
from tests.tasks.book import LEASE_S, Book
from tests.tasks.holding import assert_not_called, claim, hold, release


@pytest.mark.parametrize("state", [State.QUEUED, State.FAILED, State.HELD])
@pytest.mark.parametrize("damage", ["record", "deleted record", "index", "hold and index"])
async def test_damage_frees_no_hold(book: Book, state: State, damage: str) -> None:
    """Whichever of its keys is damaged or lost, the group is not called; a new event is remembered."""
    if state is not State.HELD:
        await book.receive("sg_1")
    if state is State.FAILED:
        await book.failed("sg_1")
    await hold(book)
    if damage == "record":
        await book.redis.set(key_of("c:sg_1"), "{")
    elif damage == "deleted record":
        await book.redis.delete(key_of("c:sg_1"))
    elif damage == "index":
        await book.redis.delete(key_of("held"))
    else:
        await book.redis.delete(key_of("held"), key_of("holds"))
    await book.inspect()
    assert await book.due() == []
    assert await claim(book) in (Unclaimed.HELD, Unclaimed.UNKNOWN, Unclaimed.UNREADABLE)
    assert await book.receive("sg_1", event_id="e9") == [Received.HELD]
    assert await claim(book) is Unclaimed.HELD
    await assert_not_called(book)
    assert await release(book) is HoldWord.RELEASED
    assert isinstance(await claim(book), Claim)


@pytest.mark.parametrize("asked", [True, False])
async def test_the_release_of_a_damaged_record(book: Book, asked: bool) -> None:
    """The group is due again if somebody had asked for it; else nothing is called, and the answer says so."""
    if asked:
        await book.receive("sg_1")
    await hold(book)
    await book.redis.set(key_of("c:sg_1"), "{")
    assert await release(book) is (HoldWord.RELEASED if asked else HoldWord.UNREADABLE)
    assert await book.due() == (["sg_1"] if asked else [])


async def test_a_damaged_record_is_held(book: Book) -> None:
    """A hold takes effect on a group whose record cannot be read, and its release brings the group back."""
    await book.receive("sg_1")
    await book.redis.set(key_of("c:sg_1"), "{")
    assert (await hold(book)).word is HoldWord.HELD
    await book.inspect()
    assert await book.due() == []
    assert await release(book) is HoldWord.RELEASED
    assert await book.due() == ["sg_1"]


async def test_a_damaged_record_with_a_live_lease(book: Book) -> None:
    """Its hold is pending for as long as the indexes tell of a lease."""
    await book.receive("sg_1")
    await book.claim("sg_1")
    await book.redis.set(key_of("c:sg_1"), "{")
    assert (await hold(book))[0::2] == (HoldWord.PENDING, LEASE_S)
    book.clock.forward(LEASE_S)
    assert await book.due() == []
    assert (await hold(book))[0::2] == (HoldWord.ALREADY, None)


async def test_a_damaged_hold_still_holds(book: Book) -> None:
    """What another program wrote over a hold does not free the group, and is shown as damaged."""
    await book.receive("sg_1")
    await hold(book)
    await book.redis.hset(key_of("holds"), "sg_1", "{")
    await assert_not_called(book)
    found = (await book.read("sg_1")).hold
    assert found is not None
    assert found.by == "nobody known"
    assert await release(book) is HoldWord.RELEASED


async def test_a_held_group_on_the_agenda(book: Book) -> None:
    """Another program, or damage, has put it among the queued ones: no message names it, and it is taken off."""
    await book.receive("sg_1")
    await hold(book)
    await book.redis.zadd(key_of("queued"), {"sg_1": book.clock.ms})
    await book.redis.zadd(key_of("agenda"), {"sg_1": book.clock.ms})
    assert await book.due() == []
    assert await book.agenda("sg_1") is None
    await book.inspect()
    assert await book.state("sg_1") is State.HELD
