"""Holds: groups that must not be called until somebody releases them, whatever comes for them meanwhile.

A hold is written in one script call. From then on no worker claims the group, even if its record is damaged or lost
(`lua/lib/holds.lua`). A call that is under way cannot be taken back, so the hold of such a group is pending until the
attempt or its lease has ended.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, NamedTuple

from tasks.errors import OlderWorkers
from tasks.hold import Hold
from tasks.ledger.codec import compact_json, read_hold
from tasks.ledger.scripts import Scripts, shown


class HoldWord(StrEnum):
    """What a hold or a release did.

    HELD: no worker calls the group from now on. PENDING: the same once the attempt that is under way has ended.
    ALREADY: somebody holds it already, and their hold stands. CLOSED, DISCARDED: the closure is in this state, so
    nothing was done. RELEASED: the closure has the state back that it was taken from. FORGOTTEN: no event had come for
    it, so the ledger does not know it any more. NOT_HELD: nobody held it. UNREADABLE: the hold has ended, but the
    record is damaged and nothing else says that somebody asked to close the group; publish it again if it must be.
    """

    HELD = "held"
    PENDING = "pending"
    ALREADY = "already"
    CLOSED = "closed"
    DISCARDED = "discarded"
    RELEASED = "released"
    FORGOTTEN = "forgotten"
    NOT_HELD = "not held"
    UNREADABLE = "unreadable"


class HoldAnswer(NamedTuple):
    """What became of one group. `hold`: the hold that stands now, or that the release has ended.

    `lease_s`: for how many seconds the attempt under way may still go on at most; None when there is none.
    """

    word: HoldWord
    hold: Hold | None = None
    lease_s: float | None = None


class Holds:
    """Holds and releases groups. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def hold(
        self, references: Sequence[str], *, by: str, why: str, door: str = "", audit: str = ""
    ) -> list[HoldAnswer]:
        """Hold these groups, known or not, and return what became of each. A repeat changes nothing.

        `by`, `why`, `door`: the operator, the reason and the front end. `audit`: the id of the audit's entry to which
        the same step adds what it changed, "" for none. Raises OlderWorkers, and holds nothing, while workers of an
        older release are alive that would call a held group.
        """
        details = compact_json({"by": by, "why": why, "door": door})
        rows = await self._scripts.run("hold", "hold", details, audit, *references)
        if rows and rows[0][0] == b"older workers":
            raise OlderWorkers(shown(rows[0][1]).split(", "))
        return [read_answer(row) for row in rows]

    async def release(self, references: Sequence[str], *, audit: str = "") -> list[HoldAnswer]:
        """End the holds of these groups, and return what became of each. `audit`: as in `hold`.

        A closure that was queued or waited for a retry is queued, with the time to its deadline that it had left, and
        at least a minute. A failed one is failed again, unless an event came for it meanwhile.
        """
        return [read_answer(row) for row in await self._scripts.run("hold", "release", "", audit, *references)]

    async def to_ask(self, limit: int, *, again_s: float) -> list[str]:
        """Take up to `limit` held groups of which nobody knows whether their last call took effect.

        They come again after `again_s` seconds unless `asked` or a result ends the question, so a crash loses none.
        """
        return [shown(ref) for ref in await self._scripts.run("ask", limit, int(again_s * 1000))]

    async def asked(self, references: Sequence[str]) -> None:
        """The API says that these groups are not closed: the question is answered, and they stay held."""
        await self._scripts.ask(self._scripts.redis.zrem(self._scripts.key("ask"), *references))


def read_answer(row: list[Any]) -> HoldAnswer:
    """Read what `lua/hold.lua` returns for one group."""
    word, raw, left_ms = row[:3]
    return HoldAnswer(
        HoldWord(word.decode()), read_hold(raw) if raw else None, int(left_ms) / 1000 if left_ms else None
    )
