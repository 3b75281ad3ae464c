"""Has the ledger receive events. Each is received, or comes back as a rejection."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from tasks.errors import LedgerBroken
from tasks.events.batch import Element
from tasks.events.event import Event, GroupCancelled, Rejection
from tasks.ledger.ledger import Ledger
from tasks.ledger.sift import sift
from tasks.ledger.tally import Intake
from tasks.ledger.values import Received

_log = logging.getLogger("closer.intake")


async def receive_or_reject(
    ledger: Ledger, elements: Sequence[Element], intake: Intake = Intake.STREAM
) -> list[Element]:
    """Have the ledger receive the events among these elements, and return as rejections those that it cannot take.

    `intake`: the way that they came.

    The caller must still keep these rejections. So one event that makes a script fail does not block the others.
    Raises StoreUnavailable, and LedgerBroken when no event is the cause.
    """
    broken: list[Element] = []

    async def try_some(some: Sequence[Element]) -> None:
        held = _events(some)
        words = await ledger.receive(held, intake=intake)
        for element, event, word in zip(some, held, words, strict=True):
            if word.problem:
                broken.append(replace(element, event=Rejection((word.problem,))))
            elif isinstance(event, GroupCancelled):
                _tell(event, word)

    async def fails(element: Element, error: LedgerBroken) -> None:
        _log.error("the event %s cannot be received, and is kept as rejected: %s", element.identity, error)
        broken.append(replace(element, event=Rejection((f"event: it cannot be received; {error}",))))

    if events := [one for one in elements if not isinstance(one.event, Rejection)]:
        await sift(events, try_some, fails)
    return broken


def _events(elements: Sequence[Element]) -> list[Event]:
    return [one.event for one in elements if not isinstance(one.event, Rejection)]


def _tell(event: GroupCancelled, word: Received) -> None:
    """Log what became of a cancel event. One that has come before was told before."""
    if word is Received.TOO_LATE:
        _log.warning(
            "a cancel event came too late: the group %s is closed at Sorted already, and closer cannot open it "
            "(event %s of %s); see: closer show %s",
            event.reference,
            event.event_id,
            event.source,
            event.reference,
        )
    elif word in _TOLD:
        text = "cancel event %s of %s for the group %s: " + _TOLD[word]
        _log.info(text, event.event_id, event.source, event.reference)


_TOLD = {
    Received.CANCELLED: "it is held",
    Received.OUTDATED: "nothing was changed, because a later event of the same source says that it is complete",
    Received.DISCARDED: "nothing was changed, because it is discarded",
}
