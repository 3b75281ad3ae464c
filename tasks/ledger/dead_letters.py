"""The dead letters: messages that are not valid events. Each is kept with its bytes and its problems."""

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
    """Keeps rejected events and reads them. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        super().__init__(scripts, "rejected")

    async def reject(self, body: bytes, rejection: Rejection, origin: str) -> str:
        """Keep a message that is not an event, and return its id.

        `body`: its bytes. `origin`: where it came from. A repeat keeps it twice, which loses nothing.
        """
        ids: list[bytes] = await self._scripts.run("reject", *_rejected(body, rejection, origin))
        return ids[0].decode()

    async def keep(self, elements: Sequence[Element]) -> int:
        """Keep those elements that are rejections, and return how many were new.

        A delivery may come again after a crash. So each rejection is kept once, known by its identity and its bytes.
        """
        arguments = _rejected_once(elements)
        ids: list[bytes] = await self._scripts.run("reject", *arguments) if arguments else []
        return sum(1 for rejected_id in ids if rejected_id)

    async def dismiss(self, rejected_ids: Sequence[str], *, audit: str) -> int:
        """Delete rejected events by their ids, and return how many of them were there.

        `audit`: the id of the audit's entry that announced the action. The same step counts them there.
        """
        dismissed: int = await self._scripts.run("dismiss", audit, *rejected_ids)
        return dismissed


def _rejected(body: bytes, rejection: Rejection, origin: str, once: str = "") -> _Arguments:
    """Return the arguments of `lua/reject.lua` for one rejection. Of those with the same `once` it keeps the first."""
    return [body, json.dumps(rejection.problems), origin, rejection.refused_type or "", once]


def _rejected_once(elements: Iterable[Element]) -> _Arguments:
    """Return the arguments of `lua/reject.lua` for those elements that are rejections."""
    arguments: _Arguments = []
    for element in elements:
        if isinstance(element.event, Rejection):
            digest = hashlib.sha1(element.body, usedforsecurity=False).hexdigest()
            arguments += _rejected(element.body, element.event, element.identity, f"{element.identity} {digest}")
    return arguments
