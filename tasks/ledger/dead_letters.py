"""Keeps dead letters, which are messages that are not valid events, and reads, deletes and forgets them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, NamedTuple

from tasks.events.batch import Element
from tasks.events.event import Rejection
from tasks.ledger.dead_letter import DeadLetter, LetterHead, read_head, read_letter
from tasks.ledger.entries import Order
from tasks.ledger.scripts import Scripts

_PAGE = 200
_BYTES, _HEAD = "1", ""


class Forgotten(NamedTuple):
    """One step of forgetting rejected events.

    `number`: how many were deleted. `after`: where the next step begins, "" when there are no more. `audit`: the id of
    the round's entry in the audit, "" when there is none.
    """

    number: int
    after: str
    audit: str


class DeadLetters:
    """Keeps rejected events and reads them. Every method may raise StoreUnavailable and LedgerBroken.

    Identical bytes are kept once. Each time they come they are counted, and the last time is noted.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def reject(self, body: bytes, rejection: Rejection, origin: str) -> str:
        """Keep a message that is not an event, and return its id. Each call counts it.

        `body`: its bytes. `origin`: where it came from.
        """
        (rejected_id,) = await self._run([_argument(body, rejection, origin, "", unique=False)])
        return rejected_id.decode()

    async def keep(self, elements: Sequence[Element], *, unique: bool = True) -> int:
        """Keep those elements that are rejections, all in one step, and return how many were counted.

        Each is counted once, known by its identity and its bytes, because a delivery may come again after a crash.
        `unique`: no other delivery can have the same identity; then it is not kept again after an operator has dealt
        with it.
        """
        rejected = [
            _argument(one.body, one.event, one.identity, one.identity, unique=unique)
            for one in elements
            if isinstance(one.event, Rejection)
        ]
        return sum(1 for rejected_id in await self._run(rejected) if rejected_id)

    async def _run(self, rejected: Sequence[Sequence[str | bytes]]) -> list[bytes]:
        arguments = [argument for one in rejected for argument in one]
        ids: list[bytes] = await self._scripts.run("reject", *arguments) if arguments else []
        return ids

    async def newest(self, before: str = "") -> AsyncIterator[DeadLetter]:
        """Yield every rejected event, newest first, by when it came first. `before`: only those before this id."""
        async for row in self._rows("newest", f"({before}" if before else "+", "-", _BYTES):
            yield read_letter(row)

    async def heads(self, until_ms: int) -> AsyncIterator[LetterHead]:
        """Yield every rejected event without its bytes, oldest first.

        `until_ms`: the latest time at which it came first (ms since the epoch). So the iteration ends while more come.
        """
        async for row in self._rows("oldest", "-", str(until_ms), _HEAD):
            yield read_head(row)

    async def named(self, rejected_ids: Sequence[str]) -> AsyncIterator[DeadLetter]:
        """Yield the rejected events with these ids, in this order. Ids that are not there are left out."""
        async for page in self.named_pages(rejected_ids):
            for one in page:
                yield one

    async def named_pages(self, rejected_ids: Sequence[str]) -> AsyncIterator[list[DeadLetter]]:
        """Yield the same in pages, each of little more than a mebibyte."""
        for start in range(0, len(rejected_ids), _PAGE):
            left = list(rejected_ids[start : start + _PAGE])
            while left:
                rows: list[list[Any]] = await self._scripts.run("letters", _BYTES, "named", *left)
                left = left[len(rows) :]
                yield [read_letter(row) for row in rows if row]

    async def _rows(self, order: Order, first: str, last: str, what: str) -> AsyncIterator[list[Any]]:
        while rows := await self._page(order, first, last, _PAGE, what):
            for row in rows:
                yield row
            first = f"({rows[-1][0].decode()}"

    async def _page(self, order: Order, first: str, last: str, most: int, what: str) -> list[list[Any]]:
        rows: list[list[Any]] = await self._scripts.run("letters", what, order, first, last, most)
        return rows

    async def dismiss(self, rejected_ids: Sequence[str], *, audit: str) -> int:
        """Delete rejected events by their ids, and return how many of them were there.

        `audit`: the id of the audit's entry that announced the action. The step that deletes some counts them there.
        """
        left, dismissed = list(rejected_ids), 0
        while left:
            looked, gone = await self._scripts.run("dismiss", audit, *left)
            left, dismissed = left[looked:], dismissed + gone
        return dismissed

    async def forget(self, *, keep_s: float, why: str, after: str = "-", audit: str = "") -> Forgotten:
        """Delete some of the rejected events that last came more than `keep_s` seconds ago, and audit that.

        `why`: for the audit. `after`, `audit`: from the step before; without them a round begins.
        """
        number, then, entry = await self._scripts.run("forget", int(keep_s * 1000), after, audit, why)
        return Forgotten(number, then.decode(), entry.decode())


def _argument(
    body: bytes, rejection: Rejection, origin: str, delivery: str, *, unique: bool
) -> tuple[str | bytes, ...]:
    """Return the arguments of `lua/reject.lua` for one rejection."""
    refused_type, problems = rejection.refused_type or "", json.dumps(rejection.problems)
    digest = once = _digest(body)
    if refused_type:
        digest = _digest(f"{refused_type}\n".encode("utf-8", "surrogatepass") + body)
    return body, digest, problems, origin, refused_type, f"{delivery} {once}" if delivery else "", "1" if unique else ""


def _digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
