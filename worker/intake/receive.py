"""Has the ledger receive events. Each is received, or comes back as a rejection."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from tasks.errors import LedgerBroken
from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection
from tasks.ledger.ledger import Ledger
from tasks.ledger.sift import sift
from tasks.ledger.tally import Intake

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
        events = [one.event for one in some if isinstance(one.event, GroupComplete)]
        words = await ledger.receive(events, intake=intake)
        for element, word in zip(some, words, strict=True):
            if word.problem:
                broken.append(replace(element, event=Rejection((word.problem,))))

    async def fails(element: Element, error: LedgerBroken) -> None:
        _log.error("the event %s cannot be received, and is kept as rejected: %s", element.identity, error)
        broken.append(replace(element, event=Rejection((f"event: it cannot be received; {error}",))))

    if events := [one for one in elements if isinstance(one.event, GroupComplete)]:
        await sift(events, try_some, fails)
    return broken
