"""Durations in words."""

from __future__ import annotations


def age(seconds: float | None) -> str:
    """Return seconds in at most two units, as in `3 h 12 min`; `-` for None."""
    if seconds is None:
        return "-"
    left = int(seconds)
    for unit_s, unit, smaller_s, smaller in ((86_400, "d", 3600, "h"), (3600, "h", 60, "min"), (60, "min", 1, "s")):
        if left >= unit_s:
            more = left % unit_s // smaller_s
            return f"{left // unit_s} {unit}" + (f" {more} {smaller}" if more else "")
    return f"{left} s"
