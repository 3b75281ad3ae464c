"""The dead letters: what is not an event, kept with its bytes and why."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence

from tasks.events.batch import Element
from tasks.events.event import Rejection
from tasks.ledger.entries import Entries
from tasks.ledger.scripts import Scripts

_Arguments = list[str | bytes]


class DeadLetters(Entries):
    """Keeps rejected events, and reads them. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        super().__init__(scripts, "rejected")

    async def reject(self, body: bytes, rejection: Rejection, origin: str) -> str:
        """Put aside what is not an event, with its bytes, why, and where it came from; returns its id."""
        ids: list[bytes] = await self._scripts.run("reject", *_rejected(body, rejection, origin))
        return ids[0].decode()

    async def keep(self, elements: Sequence[Element]) -> int:
        """Put aside those that are rejections, each once, however often it comes; returns how many were new."""
        arguments = _rejected_once(elements)
        ids: list[bytes] = await self._scripts.run("reject", *arguments) if arguments else []
        return sum(1 for rejected_id in ids if rejected_id)

    async def dismiss(self, rejected_ids: Sequence[str], *, audit: str) -> int:
        """Take rejected events off their stream; returns how many were there."""
        dismissed: int = await self._scripts.run("dismiss", audit, *rejected_ids)
        return dismissed


def _rejected(body: bytes, rejection: Rejection, origin: str, once: str = "") -> _Arguments:
    """The arguments for one rejection; of those with the same `once` only the first is kept."""
    return [body, json.dumps(rejection.problems), origin, rejection.refused_type or "", once]


def _rejected_once(elements: Iterable[Element]) -> _Arguments:
    """The arguments for those that are rejections; each is known by its identity and its bytes."""
    arguments: _Arguments = []
    for element in elements:
        if isinstance(element.event, Rejection):
            digest = hashlib.sha1(element.body, usedforsecurity=False).hexdigest()
            arguments += _rejected(element.body, element.event, element.identity, f"{element.identity} {digest}")
    return arguments
