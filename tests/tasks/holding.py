"""Short words for holds: what the tests of holds share."""

from __future__ import annotations

from tasks.ledger.holds import HoldAnswer, HoldWord
from tasks.ledger.values import Claim, Unclaimed
from tests.tasks.book import DEADLINE_S, LEASE_S, Book


async def hold(book: Book, reference: str = "sg_1") -> HoldAnswer:
    """Anna holds the group."""
    [answer] = await book.ledger.holds.hold([reference], by="anna", why="trailer 42 is not complete", door="cli")
    return answer


async def release(book: Book, reference: str = "sg_1") -> HoldWord:
    """Somebody releases the group."""
    [answer] = await book.ledger.holds.release([reference])
    return answer.word


async def claim(book: Book, reference: str = "sg_1") -> Claim | Unclaimed:
    """What a worker gets that is told to claim the group."""
    return (await book.ledger.claim([reference], worker="w2", lease_s=LEASE_S))[reference]


async def assert_not_called(book: Book, reference: str = "sg_1") -> None:
    """The group is on no agenda, nobody gets it, however long one waits, and the inspection changes nothing of that."""
    for seconds in (0, LEASE_S, DEADLINE_S):
        book.clock.forward(seconds)
        await book.inspect()
        assert await book.due() == []
        assert await claim(book, reference) in (Unclaimed.HELD, Unclaimed.UNKNOWN)
