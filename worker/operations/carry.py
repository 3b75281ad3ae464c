"""Carries a stored bulk action on, step by step, for the command or the console that has begun it.

A crash between two steps is safe: the lease of this process ends, and another one takes the action over.
"""

from __future__ import annotations

import asyncio
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from tasks.errors import OlderWorkers, StoreUnavailable
from tasks.ledger.bulk import GOES_ON, LEASE_S, BulkStep, BulkWord, Said
from tasks.ledger.holds import HoldAnswer
from tasks.ledger.ledger import Ledger
from worker.operations.asked_step import Asks, ask_and_step

_LOOK_S = LEASE_S / 3  # the longest time between two steps, so that the lease is kept
_FOLLOW_S = 0.5
_PAUSES_S = (0.2, 1.0, 2.0)
Answers = Sequence[tuple[str, HoldAnswer]]


def holder_of(door: str) -> str:
    """Return a name for this process as one that carries actions; no other process has it. `door`: as of `Operator`."""
    return f"{door}:{os.uname().nodename}:{os.getpid()}:{secrets.token_hex(3)}"


@dataclass(frozen=True, slots=True)
class Carrier:
    """Who carries an action, and until when.

    `holder`: the name of this process, see `holder_of`. `asks`: asks the API where an action needs that. `stop`: when
    it is set, the action is stopped; `because` says why. `leave`: when it is set, the action is left to others.
    `progress`: called with the number of items that were looked at since the last call. `answers`: called with what a
    step of a hold or a release has come to. `waits`: called with what the action waits for, see `BulkStep`, when that
    has changed.
    """

    holder: str
    asks: Asks
    because: str = "it was interrupted"
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Callable[[int], None] = lambda _: None
    answers: Callable[[Answers], None] = lambda _: None
    waits: Callable[[str], None] = lambda _: None

    @property
    def told(self) -> bool:
        """Whether this process is to end its work."""
        return self.stop.is_set() or self.leave.is_set()


async def carry(ledger: Ledger, action_id: str, verb: str, carrier: Carrier, left: int) -> None:
    """Do the items of an action until it ends, or until this process is told to stop it or to leave it.

    Where another process has taken it over, this waits for the end all the same.

    `verb`: the action's. `left`: how many items there were. Raises StoreUnavailable and LedgerBroken; the action then
    goes on elsewhere. Raises what ends the asking of the API, too; the action is then stopped.
    """
    take = partial(_step, ledger, action_id, verb, carrier)
    waits_for = ""
    while not carrier.told:
        step = await take(())
        if step.to_ask or (carrier.asks.strict and step.word is BulkWord.WAITING):
            step = await ask_and_step(ledger, action_id, carrier.asks, take, step)
        carrier.progress(max(0, left - step.left))
        left = step.left
        carrier.answers(step.answers)
        if step.waits_for not in ("", waits_for):
            carrier.waits(step.waits_for)
        waits_for = step.waits_for
        if step.word not in GOES_ON | {BulkWord.ELSEWHERE}:
            return
        await _wait(carrier, _wait_s(step))
    if carrier.stop.is_set():
        await ledger.bulk.stop(action_id, carrier.because)
    else:
        await ledger.bulk.leave(action_id, holder=carrier.holder)


async def _step(ledger: Ledger, action_id: str, verb: str, carrier: Carrier, said: Sequence[Said]) -> BulkStep:
    """Take a step. A store that fails for a moment, as when another one takes over, is asked again.

    `said`: what the API says of items. A step whose answer was lost may have been done. The next one goes on behind it.
    """
    for pause_s in _PAUSES_S:
        try:
            return await ledger.bulk.step(action_id, verb, holder=carrier.holder, said=said)
        except OlderWorkers:
            raise
        except StoreUnavailable:
            await asyncio.sleep(pause_s)
    return await ledger.bulk.step(action_id, verb, holder=carrier.holder, said=said)


def _wait_s(step: BulkStep) -> float:
    return _FOLLOW_S if step.word is BulkWord.ELSEWHERE else min(step.wait_s, _LOOK_S)


async def _wait(carrier: Carrier, seconds: float) -> None:
    """Wait so long, or until this process is told to end its work."""
    told = [asyncio.ensure_future(event.wait()) for event in (carrier.stop, carrier.leave)]
    try:
        await asyncio.wait(told, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for waiting in told:
            waiting.cancel()
