"""Asks the API for the states of groups, within the fleet's rate limit and only while the gate allows it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

from tasks.api.reply import NoReply, Reply
from tasks.api_health import throttle_s
from tasks.errors import CloserError
from tasks.history import iso
from tasks.ledger.gate import REASONS, Gate
from tasks.ledger.ledger import Ledger
from tasks.verdict import group_state
from worker.operations.operator import Verb
from worker.operations.step import CouldNot, GateShut, Step

if TYPE_CHECKING:  # its import is slow, and most commands make no call
    from tasks.api.client import SortedApi

RATE = 50.0  # questions per second, unless the operator gives a rate
WAITED_FOR_S = 60.0  # a Retry-After of at most this length is waited for; a longer one ends the asking
_IN_FLIGHT = 10

Says = Literal["closed", "locked", "open"]
SAYS: frozenset[str] = frozenset(get_args(Says))


class Questions:
    """Asks for the states of groups, at most ten at the same time.

    `ended`: why no more questions are asked, "" while they are.
    """

    def __init__(self, ledger: Ledger, api: SortedApi, *, rate_limit: float, while_shut: bool = False) -> None:
        """`rate_limit`: the fleet's calls per second, 0 for no limit. `while_shut`: ask although the gate is shut.

        A Retry-After of the API is respected even then.
        """
        self._ledger = ledger
        self._api = api
        self._rate_limit = rate_limit
        # `throttled` is never ignored: the API itself has asked to hold back.
        self._passed_over = set(REASONS) - {"throttled"} if while_shut else set()
        self._slots = asyncio.Semaphore(_IN_FLIGHT)
        self.ended = ""

    async def ask(self, references: Sequence[str]) -> list[Says | str | None]:
        """Return what the API says of each group: its state, or why that cannot be told, or None if it was not asked,
        or is to be asked again because the API asked to hold back.

        Raises StoreUnavailable; GateShut; and CouldNot when the API refuses the key, because each further question
        would fail.
        """
        answers = await asyncio.gather(*map(self._one, references), return_exceptions=True)
        for answer in answers:
            if isinstance(answer, BaseException):
                raise answer
        return [answer for answer in answers if not isinstance(answer, BaseException)]

    async def look(self) -> None:
        """Look at the gate before anything is asked: as `ask` does, it raises GateShut, waits, or sets `ended`."""
        gate = await self._ledger.gate.look()
        if not self._passes(gate):
            await self._wait_for(gate)

    def _passes(self, gate: Gate) -> bool:
        return self._passed_over.issuperset(one.reason for one in gate.standing)

    async def _one(self, reference: str) -> Says | str | None:
        async with self._slots:
            try:
                return await self._question(reference)
            except CloserError as error:
                self.ended = str(error)  # the questions that wait for their turn are then not asked
                raise

    async def _question(self, reference: str) -> Says | str | None:
        if not await self._allowed():
            return None
        reply = await self._api.state(reference)
        if await self._put_off(reply):
            return None
        if isinstance(reply, Reply) and reply.status == 401:
            raise CouldNot("the API refuses the key (401); set CLOSER_API_KEY, and try it", Step(Verb.CHECK))
        return read_state(reply, reference)

    async def _allowed(self) -> bool:
        """Wait for the next call that the rate limit allows. Return False when no more calls are to be made."""
        while not self.ended:
            wait_s, gate = await self._ledger.gate.slot(self._rate_limit, while_shut=self._passed_over)
            if wait_s:
                await asyncio.sleep(wait_s)
                gate = await self._ledger.gate.look()  # the gate may have been shut meanwhile
            if self._passes(gate):
                return not self.ended
            await self._wait_for(gate)
        return False

    async def _wait_for(self, gate: Gate) -> None:
        """Wait until a Retry-After of at most a minute is over; a longer one ends the asking.

        Raises GateShut for any other reason that shuts the gate.
        """
        for standing in gate.standing:
            if standing.until_ms is None and standing.reason not in self._passed_over:
                raise GateShut(standing)
        until_ms = max((one.until_ms or 0 for one in gate.standing), default=0)
        left_s = (until_ms - gate.now_ms) / 1000
        if left_s > WAITED_FOR_S:
            self.ended = f"the API asked to hold back until {iso(until_ms)}"
        else:
            await asyncio.sleep(max(left_s, 0.0))

    async def _put_off(self, reply: Reply | NoReply) -> bool:
        """Hold the whole fleet back when the API asks this caller to wait. After a 429, end the asking: return True."""
        if hold_s := throttle_s(reply):
            await self._ledger.gate.throttle(hold_s)
        if isinstance(reply, Reply) and reply.status == 429 and reply.code != "conflict":
            self.ended = self.ended or "the API asked to hold back (429)"
            return True
        return False


def read_state(reply: Reply | NoReply, reference: str) -> Says | str:
    """Return `closed`, `locked`, `open` (not locked), or in words why the reply does not tell."""
    match group_state(reply, reference):
        case "closed":
            return "closed"
        case "locked":
            return "locked"
        case "open":
            return "open"
        case _:
            return "unusable reply" if isinstance(reply, Reply) and reply.status == 200 else str(reply)
