"""What has happened to a closure: each attempt to close its group, and each operator's action."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

_LATEST_MS = 253_402_300_799_000  # the end of the year 9999, which is as far as `datetime` goes


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to close a group: what was asked, what came back, what was decided.

    `sent_ms`: how long before that it was dispatched in a task message; None: it was not, a foreign program named it.
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

    def pack(self) -> str:
        """The attempt as one compact line; `detail`, the longest, is cut at 160 characters."""
        fields = (self.at_ms, self.worker, self.trigger, self.status, self.code, self.correlation_id,
                  self.duration_ms, self.verdict, self.decision, self.detail[:160], self.sent_ms)  # fmt: skip
        texts = ["" if field is None else str(field) for field in fields]
        line = "|".join(texts)
        if line.isprintable() and line.count("|") == len(texts) - 1:
            return line
        return "|".join(map(_clean, texts))

    @classmethod
    def unpack(cls, line: str) -> Attempt:
        """Read what `pack`, or the ledger's scripts, wrote."""
        at, worker, trigger, status, code, correlation, duration, verdict, decision, detail, *sent = line.split("|")
        return cls(
            int(at), worker, trigger, _int(status), code or None, correlation or None, _int(duration),
            verdict, decision, detail, _int(sent[0]) if sent else None,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """The attempt as operators and other programs see it."""
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
    """What an operator did to a closure; `audit_id` names the audit's entry with who and why."""

    at_ms: int
    action: str
    audit_id: str

    @classmethod
    def unpack(cls, line: str) -> OperatorAction:
        """Read what the ledger's scripts wrote."""
        at, action, audit_id = line.split("|")
        return cls(int(at), action, audit_id)


def iso(at_ms: float) -> str:
    """Milliseconds since the epoch as ISO 8601 in UTC, to the millisecond; a damaged time ends with the year 9999."""
    at_ms = min(max(at_ms, 0), _LATEST_MS)
    return datetime.fromtimestamp(at_ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _clean(text: str) -> str:
    """No separators and no control characters: what an API replied may end up in a log or on a terminal."""
    return "".join(char if char.isprintable() and char != "|" else " " for char in text)


def _int(text: str) -> int | None:
    return int(text) if text else None
