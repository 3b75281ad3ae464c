"""A closure: the record of closing one shipment group.

          ┌────────── new event, operator ──────────┐
          ▼                                         │
(new) → queued ──claim──▶ closing ──▶ closed ─(1)─┐ │
          ▲ ▲               │ │ └───▶ failed ◀────┘─┴──▶ discarded
          │ └─ handed back ─┘ └─────▶ retrying
          └───────── due ─────────────────┘

(1) an operator asked the API, and it shows the group open: `closer verify`.
A re-queue or a discard may be recalled: a closure that was discarded, or not called since, is failed again.
That a group is closed is a fact: whoever brings it, from every state, also from discarded and held, it leads to closed.
A queued, retrying or failed closure may be held: it leaves that state until it is released, and then has it back. One
that is closing is held when its attempt ends. A group may be held before any event has come for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tasks.history import Attempt, OperatorAction, iso
from tasks.hold import Cancel, Hold

HISTORY_LIMIT = 20
UNREADABLE = "unreadable"  # the verdict of the one attempt that a damaged record shows


class State(StrEnum):
    """Where a closure stands.

    QUEUED: it waits for an attempt. CLOSING: a worker has claimed it. RETRYING: it waits for its next attempt. FAILED:
    an operator must look at it. CLOSED is final unless the API itself denies it. DISCARDED is final unless the group
    turns out to be closed, or the discard is recalled. HELD: it is not called until somebody releases it.
    """

    QUEUED = "queued"
    CLOSING = "closing"
    RETRYING = "retrying"
    CLOSED = "closed"
    FAILED = "failed"
    DISCARDED = "discarded"
    HELD = "held"


class Outcome(StrEnum):
    """How a closed group came to be closed: by a call of closer's, or before it."""

    CLOSED = "closed"
    ALREADY_CLOSED = "already_closed"


class Reason(StrEnum):
    """Why a closure failed. `worker.operations.advice` says what each means, and what an operator can do."""

    NOT_FOUND = "not_found"
    GONE = "gone"
    FORBIDDEN = "forbidden"
    NOT_LOCKED = "not_locked"
    NOT_CLOSABLE = "not_closable"
    INVALID_REQUEST = "invalid_request"
    UNEXPECTED_REPLY = "unexpected_reply"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    REOPENED = "reopened"


OPEN_STATES = frozenset({State.QUEUED, State.CLOSING, State.RETRYING})
TRANSITIONS: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.CLOSING, State.CLOSED, State.FAILED, State.HELD}),
    State.CLOSING: frozenset({State.QUEUED, State.RETRYING, State.CLOSED, State.FAILED, State.HELD}),
    State.RETRYING: frozenset({State.QUEUED, State.CLOSING, State.CLOSED, State.HELD}),
    State.FAILED: frozenset({State.QUEUED, State.DISCARDED, State.CLOSED, State.HELD}),
    State.HELD: frozenset({State.QUEUED, State.FAILED, State.CLOSED}),
    State.CLOSED: frozenset({State.FAILED}),
    State.DISCARDED: frozenset({State.CLOSED, State.FAILED}),
}


@dataclass(frozen=True, slots=True)
class Closure:
    """The record of closing one group, as it was read from the ledger.

    Times (`_ms`) are milliseconds since the epoch by the store's clock. `attempts`: how many there were in all;
    `history` keeps the last 20 of them, oldest first. `source`, `event_id`: the identity of the event that made it.
    `entered_ms`: since when it is in its state. `next_attempt_ms`: set only while it waits for a retry or its time.
    `actions`: the last 10 of the operators. `hold`: who holds the group. `cancels`: the last 16 cancel events.
    `recall`: the id of the bulk action that takes its re-queue back if the attempt under way ends without a call.
    """

    reference: str
    state: State
    outcome: Outcome | None
    reason: Reason | None
    attempts: int
    source: str
    event_id: str
    received_ms: int
    entered_ms: int
    next_attempt_ms: int | None
    custom_reference: str | None
    event_time: str | None
    traceparent: str | None
    history: tuple[Attempt, ...]
    actions: tuple[OperatorAction, ...] = ()
    hold: Hold | None = None
    cancels: tuple[Cancel, ...] = ()
    recall: str | None = None

    @property
    def damaged(self) -> bool:
        """Whether the store's record could not be read. The closure then shows the state that an index holds."""
        return bool(self.history) and self.history[0].verdict == UNREADABLE

    @property
    def last_attempt(self) -> Attempt | None:
        """The newest attempt, None if there was none."""
        return self.history[-1] if self.history else None

    def as_json(self) -> dict[str, Any]:
        """Return the closure as operators and other programs see it.

        The names of the fields are a promise. Times are ISO 8601 in UTC; what is not there is null.
        """
        last = self.last_attempt
        return {
            "reference": self.reference,
            "state": self.state.value,
            "outcome": self.outcome and self.outcome.value,
            "reason": self.reason and self.reason.value,
            "attempts": self.attempts,
            "source": self.source,
            "event_id": self.event_id,
            "custom_reference": self.custom_reference,
            "received_at": iso(self.received_ms),
            "state_since": iso(self.entered_ms),
            "next_attempt_at": self.next_attempt_ms and iso(self.next_attempt_ms),
            "closed_at": iso(self.entered_ms) if self.state is State.CLOSED else None,
            "last_status": last and last.status,
            "last_code": last and last.code,
            "correlation_id": last and last.correlation_id,
            "hold": self.hold and self.hold.as_json(),
        }
