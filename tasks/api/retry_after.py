"""Reads `Retry-After` (RFC 9110, 10.2.3) leniently. In doubt the longer wait counts, so no call is made too early."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

MAX_RETRY_AFTER_S = 366 * 24 * 3600.0

# A comma separates values. It also follows the day's name in a date, which is read without that name.
_LONGEST = 1_000
_BETWEEN = re.compile(r"[,;]")
_NUMBER = re.compile(r"([+-]?)((?:\d+(?:\.\d*)?|\.\d+)(?:e\d+)?)", re.ASCII)
_PART = re.compile(r"(\d+(?:\.\d+)?) ?([a-z]+)\.? ?", re.ASCII)
_UNITS_S = {
    "ms": 0.001, "s": 1.0, "sec": 1.0, "second": 1.0, "m": 60.0, "min": 60.0, "minute": 60.0,
    "h": 3600.0, "hr": 3600.0, "hour": 3600.0, "d": 86_400.0, "day": 86_400.0,
}  # fmt: skip


def parse_retry_after(value: str | None, date: str | None, now: datetime) -> float | None:
    """Return how long to wait, in seconds from now, 0 to 366 days; None when nothing in the header can be understood.

    `value` may hold seconds (also `6.0`, `"6"`), a duration (`6s`, `2 minutes`, `1h30m`, `PT6S`; `m` are minutes), a
    date, or several of them, of which the longest wait counts. Several headers come as one, with commas.

    `date`: the reply's own `Date` header. A date is measured against it, so a wrong clock on either side does not
    change the wait. `now` is used only without that header.
    """
    if value is None:
        return None
    sent = min(_dates(date or ""), default=now)
    waits = [wait_s for piece in _pieces(value) if (wait_s := _duration_s(piece)) is not None]
    waits += [(until - sent).total_seconds() for until in _dates(value)]
    return min(max(*waits, 0.0), MAX_RETRY_AFTER_S) if waits else None


def _pieces(value: str) -> Iterator[str]:
    for piece in _BETWEEN.split(value[:_LONGEST].lower()):
        yield piece.strip(" \t\"'")


def _duration_s(piece: str) -> float | None:
    if number := _NUMBER.fullmatch(piece):
        return 0.0 if number[1] == "-" else float(number[2])
    return _parts_s(piece.removeprefix("pt"))


def _parts_s(piece: str) -> float | None:
    """Return the sum of a duration's parts in seconds. Each part is a number with a unit; None for anything else."""
    total_s, at = 0.0, 0
    while part := _PART.match(piece, at):
        unit = part[2] if part[2] in _UNITS_S else part[2].removesuffix("s")
        if unit not in _UNITS_S:
            return None
        total_s, at = total_s + float(part[1]) * _UNITS_S[unit], part.end()
    return total_s if 0 < at == len(piece) else None


def _dates(value: str) -> list[datetime]:
    return [date for piece in _pieces(value) if _duration_s(piece) is None and (date := _date(piece))]


def _date(piece: str) -> datetime | None:
    """Return a piece as a date, in the form of mail headers or in ISO 8601; None if it is neither."""
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            parsed = read(piece.upper())
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)
    return None
