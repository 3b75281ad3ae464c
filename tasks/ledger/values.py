"""The values that the ledger takes and returns, such as claims and settlements."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from tasks.api_health import ApiHealth
from tasks.closure import Outcome, Reason, State


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An entry that closer did not write or that this release cannot read.

    `name`: its name in the store. `held`: what it holds, as JSON, where that is of use.
    """

    name: str
    held: str = ""


class Received(StrEnum):
    """What receiving an event did: a new closure, a failed one queued again, or nothing.

    HELD: its group is held, and the event is remembered until the release. RELEASED: it has ended a hold that events
    had made. TOO_FAR, OLDER_WORKERS, CANCEL_REFUSED: it was not received, see `problem`.

    Of a cancel event. CANCELLED: its group is held, once the attempt under way has ended. TOO_LATE: its group is
    closed. OUTDATED: a complete event of the same source has a later time. DISCARDED: its group is discarded.
    """

    NEW = "new"
    REQUEUED = "requeued"
    DUPLICATE = "duplicate"
    HELD = "held"
    RELEASED = "released"
    CANCELLED = "cancelled"
    TOO_LATE = "too late"
    OUTDATED = "outdated"
    DISCARDED = "discarded"
    CANCEL_REFUSED = "cancel refused"
    TOO_FAR = "too far"
    OLDER_WORKERS = "older workers"

    @property
    def problem(self) -> str | None:
        """Why the event was not received, as a line of a rejection; None when it was."""
        return _NOT_RECEIVED.get(self)


_NOT_RECEIVED = {
    Received.TOO_FAR: "closeafter: more than 30 days ahead, by the store's clock",
    Received.OLDER_WORKERS: (
        "closeafter: a worker of an older release is alive, and would close the group before this time; "
        "stop it, and then replay this event"
    ),
    Received.CANCEL_REFUSED: (
        "type: this event cancels, but a worker of an older release is alive, which would close the group all the "
        "same; stop it, and then replay this event"
    ),
}


@dataclass(frozen=True, slots=True)
class Claim:
    """A closure that is leased to this worker. (`reference`, `lease`) identifies the attempt.

    `lease`: the number of the lease, one more than the last. `failures`, `missing`: failed attempts, and replies "not
    found", since the closure was queued. `remaining_s`: seconds until its deadline, on the open clock. `wait_s`:
    seconds until its slot under the rate limit. `at_ms`: when it was claimed (ms since the epoch, store's clock).
    `trigger`: what queued it again, "" for an event. `lock_first`: the group must be locked before it is closed.

    `sent_ms`: how long it had been on its way in a task message (ms); None when no message named it. `received_ms`:
    when its first event was received (ms since the epoch, store's clock); None where that is not told.
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
    received_ms: int | None = None


class Operated(StrEnum):
    """What requeue or discard did with a closure: done, or why not. The audit counts by these words.

    A value such as IS_CLOSED names the state that the closure is in. Only failed closures can be changed.
    """

    DONE = "done"
    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"
    IS_QUEUED = State.QUEUED.value
    IS_CLOSING = State.CLOSING.value
    IS_RETRYING = State.RETRYING.value
    IS_CLOSED = State.CLOSED.value
    IS_DISCARDED = State.DISCARDED.value
    IS_HELD = State.HELD.value


class Reconciled(StrEnum):
    """What reconcile did with a closure: corrected it, or why not. The audit counts by these words."""

    DONE = "done"
    UNKNOWN = "unknown"
    AGREE = "agree"
    MOVED_ON = "moved on"


class Unclaimed(StrEnum):
    """Why a reference was not claimed.

    UNKNOWN: the ledger has no event for it. UNREADABLE: its record is damaged. LATER: the gate does not let it through.
    HELD: somebody holds the group. NO: there is nothing to do now, because the closure has ended, is in other hands, or
    waits for its retry or its time.
    """

    UNKNOWN = "unknown"
    UNREADABLE = "unreadable"
    HELD = "held"
    LATER = "later"
    NO = "no"


@dataclass(frozen=True, slots=True)
class Settlement:
    """The result of an attempt. (`reference`, `lease`) identifies it.

    `to`: the closure's new state. `packed`: the attempt as a line of the history, see `pack_attempt`; None when no call
    was made. `outcome`, `reason`: how it was closed, or why it failed. `delay_s`: seconds until the retry. `told`: the
    API asked for that delay, so no retry comes earlier. `missing`: the API said "not found". `health`: what the reply
    tells of the API. `hold_s`: seconds for which the whole fleet must make no calls, as the API asked.
    """

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
    """What the ledger tells a worker of its permission to call, see `worker.attempts.permission`.

    All are ms since the epoch, by the store's clock. `at_ms`: now. `stop_ms`: claims made up to then must not be called
    any more; 0: all may be. `suspended_ms`: since when the worker's key is suspended; 0: it is not.
    """

    at_ms: int = 0
    stop_ms: int = 0
    suspended_ms: int = 0


NOTHING_TOLD = Word()


class Settled(NamedTuple):
    """The ledger's answer to settlements, and its word to the worker.

    `written`: for each settlement in order, False when its lease was lost and nothing was written.
    """

    written: list[bool]
    word: Word


@dataclass(frozen=True, slots=True)
class Due:
    """What is due now.

    `references`: to be named in task messages. `next_s`: seconds until more are due; None: unknown until something
    changes. `on_their_way`: how many references task messages named before this call. `probe`: the closure that this
    worker must attempt itself, to find out whether the API accepts its key again; None: there is none.
    """

    references: list[str]
    next_s: float | None
    on_their_way: int = 0
    word: Word = NOTHING_TOLD
    probe: str | None = None


class Observation(NamedTuple):
    """What the API says of a group.

    `closed`: whether the group is closed. `since_ms`: when the closure had entered the state that it was in when the
    API was asked (ms since the epoch). With it the ledger notices that the closure has moved on.
    """

    reference: str
    closed: bool
    since_ms: int


def round_up_ms(seconds: float) -> int:
    """Return the duration in ms, rounded up. So no call is made before a Retry-After has ended."""
    return int(seconds * 1000) + 1


def pause_ms(rate_limit: float) -> float:
    """Return the pause between two calls (ms) for this many calls per second. 0 means no limit, in and out."""
    return 1000 / rate_limit if rate_limit else 0
