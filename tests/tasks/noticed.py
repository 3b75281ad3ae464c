"""What the notices of a ledger say, and what makes some of them, in short words for tests."""

from __future__ import annotations

from typing import Any

from tasks.closure import Reason
from tasks.events.event import Rejection
from tasks.ledger.notices import Notice, NoticeKind, Notices
from tests.support import key_of
from tests.tasks.book import Book

LIMIT = 5000  # as in lua/lib/notices.lua


KEY, TOLD = key_of("notices"), key_of("told")


async def told(notices: Notices) -> list[tuple[NoticeKind, dict[str, Any]]]:
    """All of them, by kind and fields."""
    page = await notices.read(limit=LIMIT)
    assert page.missed == 0
    return [(one.kind, dict(one.fields)) for one in page.notices if isinstance(one, Notice)]


async def kinds(notices: Notices) -> list[str]:
    """The kinds of all of them, in order."""
    return [kind.value for kind, _ in await told(notices)]


async def fail(book: Book, *references: str, reason: Reason = Reason.GONE) -> None:
    """These fail for this reason."""
    for reference in references:
        await book.receive(reference)
        await book.failed(reference, reason)


async def reject(book: Book, how_many: int) -> list[str]:
    """Events that are not ones."""
    rejection = Rejection(("reference: is missing",))
    return [await book.ledger.dead_letters.reject(b"x", rejection, "test") for _ in range(how_many)]
