"""The gate: whether calls are made at all, and opening or shutting it by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.closure import iso
from worker.operations.desk import Desk


@dataclass(frozen=True, slots=True)
class Gate:
    """Open when `reason` is None; else why it is shut, since when, by whom, and in whose words why. Times in ms."""

    reason: str | None
    since_ms: int | None
    by: str | None
    why: str | None
    until_ms: int | None

    @classmethod
    def of(cls, fields: dict[str, str]) -> Gate:
        """Read the gate's fields, as `tasks/lua/lib/gate.lua` lists them."""
        if "shut" not in fields:
            return cls(None, None, None, None, None)
        since, until = (int(float(fields[name])) if name in fields else None for name in ("since", "till"))
        return cls(fields["shut"], since, fields.get("by"), fields.get("why"), until)

    @property
    def open(self) -> bool:
        """Whether calls are made."""
        return self.reason is None

    def as_json(self) -> dict[str, Any]:
        """The gate as other programs see it (field names are a promise); `until` only where it opens by itself."""
        since, until = (at and iso(at) for at in (self.since_ms, self.until_ms))
        shown = {"open": self.open, "reason": self.reason, "since": since, "by": self.by, "why": self.why}
        return shown | ({"until": until} if until else {})


async def pause(desk: Desk, *, by: str, why: str) -> Gate:
    """Make no more calls until somebody resumes; audited in the same step. Raises StoreUnavailable."""
    return Gate.of(await desk.ledger.gate("pause", by=by, why=why))


async def resume(desk: Desk, *, by: str, why: str) -> Gate:
    """Open the gate, whatever had shut it, with few calls at first; audited in the same step."""
    return Gate.of(await desk.ledger.gate("resume", by=by, why=why))
