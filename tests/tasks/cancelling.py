"""Short words for cancel events: what their tests share."""

from __future__ import annotations

from tasks.events.event import GroupCancelled, GroupComplete
from tests.tasks.book import START_MS, Book


def at(second: int | None) -> int | None:
    """A time of an event, in ms: so many seconds after the start."""
    return None if second is None else START_MS + second * 1000


def cancelled(
    second: int | None, *, event_id: str = "", source: str = "wms", reference: str = "sg_1"
) -> GroupCancelled:
    """A cancel event of this time, with an id of its own."""
    return GroupCancelled(reference, source, event_id or f"x{second}", at(second))


def complete(second: int | None, *, event_id: str = "", source: str = "wms", reference: str = "sg_1") -> GroupComplete:
    """A complete event of this time, with an id of its own."""
    return GroupComplete(reference, source, event_id or f"c{second}", time_ms=at(second))


async def receive(book: Book, *events: GroupCancelled | GroupComplete) -> list[str]:
    """What became of these events, received in one call."""
    return [word.value for word in await book.ledger.receive(events)]
