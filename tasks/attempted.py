"""Holds one attempt as a single value, and the interface of those who are told of it after its result is written."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple, Protocol

from tasks.api.reply import NoReply, Reply
from tasks.history import Attempt
from tasks.ledger.values import Claim, Settlement
from tasks.retry import Decision
from tasks.verdict import Verdict


class Written(StrEnum):
    """What became of an attempt's result in the ledger."""

    SETTLED = "settled"
    # The lease had ended before the result came. Nothing of it is written, and the group is attempted again.
    LEASE_LOST = "lease_lost"
    # A script fails for this result, see `LedgerBroken`. Nothing of it is written; the lease ends by itself.
    DROPPED = "dropped"


class CallName(StrEnum):
    """The calls that an attempt may make to the API."""

    CLOSE = "close"
    LOCK = "lock"
    STATE = "state"


class Called(NamedTuple):
    """One call to the API. `reply`: what came back. `took_s`: how long that took (s)."""

    name: CallName
    reply: Reply | NoReply
    took_s: float


class Attempted(NamedTuple):
    """Everything that is known of one attempt. Logs, metrics and traces are made of this value and of nothing else.

    `calls`: the calls with their replies, in order. `took_s`: the duration of all of them (s). `attempt`: as the
    closure's history keeps it. `settlement`: as the ledger is told. `written`: what became of it there; None until the
    ledger has answered. `waited_s`: how long the result had waited by then (s).
    """

    claim: Claim
    calls: tuple[Called, ...]
    verdict: Verdict
    decision: Decision
    took_s: float
    attempt: Attempt
    settlement: Settlement
    written: Written | None = None
    waited_s: float = 0.0


class Observer(Protocol):
    """Is told of each attempt after the ledger has answered.

    So it never hears of an attempt whose result may still be written or lost. A crash between the two loses the call of
    the observer, never the result.
    """

    def __call__(self, attempted: Attempted, /) -> None:
        """Take note and return at once, because no other result is written meanwhile. What it raises is logged."""
