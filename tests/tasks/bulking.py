"""Short words for bulk actions: what their tests share."""

from __future__ import annotations

from typing import Any

from tasks.closure import Reason, State
from tasks.ledger.bulk import BulkStep, BulkWord
from tasks.ledger.bulk_action import ActionOptions, BulkAction, BulkStart
from tests.tasks.book import Book

ANN = "ann"


async def fail(book: Book, *references: str, reason: Reason = Reason.GONE) -> None:
    """Make failed closures, each a second after the one before."""
    for reference in references:
        await book.receive(reference)
        await book.failed(reference, reason)
        book.clock.forward(1)


async def begin(
    book: Book, verb: str, *references: str, holder: str = ANN, items: dict[str, int] | None = None, **options: Any
) -> str:
    """Begin an action on these closures as they are now."""
    if items is None:
        items = {reference: (await book.read(reference)).entered_ms for reference in references}
    start = BulkStart(verb, ANN, "cli", "test", {"references": list(items)}, len(items), len(items), {}, "hash",
                      ActionOptions(**{"trigger": "bulk", **options}))  # fmt: skip
    action_id = await book.ledger.bulk.begin(start, items, holder=holder, audit=audit_of(verb, len(items)))
    assert action_id is not None
    return action_id


def audit_of(verb: str, matched: int = 0) -> dict[str, Any]:
    """An entry of the audit."""
    return {"by": ANN, "door": "cli", "action": verb, "selection": "{}", "why": "test", "matched": matched}


async def step(book: Book, action_id: str, holder: str = ANN, most: int = 200) -> BulkStep:
    """Do the next items."""
    found = await book.ledger.bulk.read(action_id)
    verb = found.verb if isinstance(found, BulkAction) else "requeue"
    return await book.ledger.bulk.step(action_id, verb, holder=holder, most=most)


async def carry(book: Book, action_id: str, holder: str = ANN, most: int = 200) -> BulkAction:
    """Carry an action on until it ends or has to wait for something else than its pace."""
    for _ in range(1000):
        found = await step(book, action_id, holder, most)
        if found.word is not BulkWord.RUNNING or (found.left == 0 and found.wait_s):
            return await read(book, action_id)
        book.clock.forward(found.wait_s)
    raise AssertionError("the action does not end")


async def read(book: Book, action_id: str) -> BulkAction:
    """The action."""
    found = await book.ledger.bulk.read(action_id)
    assert isinstance(found, BulkAction), found
    return found


async def recall(book: Book, action_id: str, holder: str = ANN) -> str:
    """Begin to recall an action."""
    found = await book.ledger.bulk.recall(action_id, holder=holder, audit=audit_of("recall"))
    assert not isinstance(found, BulkWord), found
    return found


async def states(book: Book, *references: str) -> list[State]:
    """The states of these closures."""
    return [await book.state(reference) for reference in references]
