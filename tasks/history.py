"""Holds what has happened to a closure: each attempt to close its group, and each operator's action."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_LATEST_MS = 253_402_300_799_000  # the end of the year 9999, which is as far as `datetime` goes


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to close a group: what was asked, what came back, and what was decided.

    `at_ms`: when it was claimed, in ms since the epoch by the store's clock. `trigger`: the operator's action that
    queued it (`requeue`, `bulk`), "" for none. `status`, `code`: of the last reply to a close call; without a reply
    `code` is its `Failure`. `verdict`: the name of the verdict's class in small letters. `sent_ms`: how long before
    `at_ms` its task message was sent; None when only a foreign program's message named it.
    """

    at_ms: int
    worker: str
    trigger: str = ""
    status: int | None = None
    code: str | None = None
    correlation_id: str | None = None
    duration_ms: int | None = None
    verdict: str = ""
    decision: str = ""
    detail: str = ""
    sent_ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the attempt as operators and other programs see it. Times are ISO 8601 in UTC."""
        return {
            "dispatched_at": None if self.sent_ms is None else iso(self.at_ms - self.sent_ms),
            "at": iso(self.at_ms),
            "worker": self.worker,
            "trigger": self.trigger or "automatic",
            "status": self.status,
            "code": self.code,
            "correlation_id": self.correlation_id,
            "duration_ms": self.duration_ms,
            "verdict": self.verdict,
            "decision": self.decision,
            "detail": self.detail or None,
        }


@dataclass(frozen=True, slots=True)
class OperatorAction:
    """What an operator did to a closure, and when. `audit_id`: the audit's entry that says who and why."""

    at_ms: int
    action: str
    audit_id: str


def iso(at_ms: float) -> str:
    """Return milliseconds since the epoch as ISO 8601 in UTC, to the millisecond.

    A time before 1970 or after 9999 comes from a damaged record. It is shown as the nearer of the two ends.
    """
    at_ms = min(max(at_ms, 0), _LATEST_MS)
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
