"""What the ledger holds as values, in words for the command line."""

from __future__ import annotations

from tasks.closure import iso
from tasks.gate import Standing
from worker.cli.output import clock


def ends(standing: Standing, now_ms: int) -> str:
    """When a reason for the gate being shut ends."""
    if standing.until_ms is not None:
        return f"until {clock(iso(standing.until_ms))} UTC, then it ends by itself"
    if standing.reason == "paused":
        return "until `closer resume`"
    probe_at_ms = standing.probe_at_ms
    soon = probe_at_ms is None or probe_at_ms <= now_ms
    when = "now" if soon else f"at {clock(iso(probe_at_ms or now_ms))} UTC"
    return f"until a probe is answered well; the next is due {when}"
