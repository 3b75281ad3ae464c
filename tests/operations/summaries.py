"""The summary of an empty ledger, for tests of what is made of it."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from tasks.closure import State
from tasks.ledger.gate import Gate
from tasks.ledger.summary import Summary

NOW_MS = 1_700_000_000_000


def empty(**more: Any) -> Summary:
    """Nothing is there, except what is given."""
    nothing: dict[str, Any] = {field.name: 0 for field in fields(Summary)}
    nothing |= {"now_ms": NOW_MS, "states": dict.fromkeys(State, 0), "gate": Gate(NOW_MS), "oldest_open_ms": None}
    nothing |= {"failed": {}, "workers": [], "waiting_types": {}, "seen_types": {}, "late_groups": {}}
    return Summary(**(nothing | more))
