"""What goes into the ledger and what comes out of it: claims, settlements, what is due, what a worker is told."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State


class Received(StrEnum):
    """What an event came to."""

    NEW = "new"
    REQUEUED = "requeued"
    DUPLICATE = "duplicate"


@dataclass(frozen=True, slots=True)
class Claim:
    """A closure leased to this worker. (`reference`, `lease`) identifies the attempt.

    `sent_ms`: for how long it had been on its way in a task message of the sweep, when it was in one.
    """

    reference: str
    lease: int
    failures: int
    missing: int
    remaining_s: float
    wait_s: float
    at_ms: int
    trigger: str = ""
    lock_first: bool = False
    custom_reference: str | None = None
    traceparent: str | None = None
    sent_ms: int | None = None


class Operated(StrEnum):
    """What requeue or discard did with a closure: done, or why not. The audit counts by these words."""

    DONE = "done"
    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"
    IS_QUEUED = State.QUEUED.value
    IS_CLOSING = State.CLOSING.value
    IS_RETRYING = State.RETRYING.value
    IS_CLOSED = State.CLOSED.value
    IS_DISCARDED = State.DISCARDED.value


class Reconciled(StrEnum):
    """What came of an observation: written down, or why not. The audit counts by these words."""

    DONE = "done"
    UNKNOWN = "unknown"
    AGREE = "agree"
    MOVED_ON = "moved on"


class Unclaimed(StrEnum):
    """Why a reference was not claimed: no (readable) record of it, the gate is shut, or there is nothing to do now."""

    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"
    LATER = "later"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Settlement:
    """What an attempt came to. `packed` is None when no call was made; `told`: `delay_s` is the API's wish."""

    reference: str
    lease: int
    to: State
    packed: str | None = None
    outcome: Outcome | None = None
    reason: Reason | None = None
    delay_s: float = 0.0
    missing: bool = False
    health: ApiHealth = ApiHealth.UNKNOWN
    hold_s: float = 0.0
    told: bool = False


class Word(NamedTuple):
    """What the ledger tells a worker of its permission to call, see `worker.attempts.permission`."""

    at_ms: int = 0
    stop_ms: int = 0
    suspended_ms: int = 0


NOTHING_TOLD = Word()


class Settled(NamedTuple):
    """Per settlement, False where the lease was lost and nothing was written; and whether this worker may go on."""

    written: list[bool]
    word: Word


@dataclass(frozen=True, slots=True)
class Due:
    """References to name in task messages now, how long until more are due (None: unknown), and what was on its way.

    `probe`: the closure that this worker is to attempt itself, to find out whether the API accepts its key again.
    """

    references: list[str]
    next_s: float | None
    on_their_way: int = 0
    word: Word = NOTHING_TOLD
    probe: str | None = None


class Observation(NamedTuple):
    """What the API says of a group, and when the closure had entered the state it was in when it was asked."""

    reference: str
    closed: bool
    since_ms: int


def round_up_ms(seconds: float) -> int:
    """A Retry-After is never undercut, not even by half a millisecond."""
    return int(seconds * 1000) + 1


def pause_ms(rate_limit: float) -> float:
    """The pause between two calls (ms) that makes this many a second; 0 for no limit."""
    return 1000 / rate_limit if rate_limit else 0
