"""One attempt as a single value, and who is told of it once its result has been written."""

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


class Attempted(NamedTuple):
    """Everything that is known of one attempt; logs, metrics and traces are made of this value and of nothing else.

    `took_s`: the duration of all its calls (s). `attempt`: as the closure's history keeps it. `settlement`: as the
    ledger is told. `written` is None until the ledger has answered.
    """

    claim: Claim
    replies: tuple[Reply | NoReply, ...]
    verdict: Verdict
    decision: Decision
    took_s: float
    attempt: Attempt
    settlement: Settlement
    written: Written | None = None


class Observer(Protocol):
    """Is told of each attempt after the ledger has answered, so never of one that may still be written or lost."""

    def __call__(self, attempted: Attempted, /) -> None:
        """Take note, and return at once: meanwhile no other result is written. What it raises is logged."""
