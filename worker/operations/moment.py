"""Reads a time as people write it. Pure: the present time comes in as an argument, and it is the store's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tasks.history import iso

_AGO = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*([smhdw])", re.ASCII)
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LONGEST_S = 10_000 * 86_400
_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Moment:
    """A time as it was written.

    It may be an age (`30m`, `2h`, `1d`), a time of day in UTC (`03:00`, the last one), or ISO 8601, in UTC if it has no
    zone. `ms` tells when that is.
    """

    text: str

    @classmethod
    def parse(cls, text: str) -> Moment:
        """Read a time. Raises ValueError, with the ways to write one, when it is not one that closer can mean.

        An age of over 10,000 days, or a year before 1970, is a mistake that would choose everything.
        """
        if not (_AGO.fullmatch(text) or _CLOCK.fullmatch(text) or _iso(text)):
            raise ValueError(f"{text!r} is not a time: write 30m, 2h or 1d (ago), 03:00 (UTC), or 2026-01-31T03:00Z")
        ago, at = _AGO.fullmatch(text), _iso(text)
        if ago and _age_s(ago) > _LONGEST_S:
            raise ValueError(f"{text!r} is too long ago: at most 10,000 days (10000d) can be meant")
        if at and not _FIRST <= at <= _LAST:
            raise ValueError(f"{text!r} is not a time that can be meant: it must be from 1970 to 9999, in UTC")
        return cls(text)

    @classmethod
    def at(cls, ms: int) -> Moment:
        """Return the moment that is `ms` milliseconds after the epoch."""
        return cls(iso(ms))

    def ms(self, now_ms: int) -> int:
        """Return when it is, in ms since the epoch. `now_ms`: the time by the store's clock, in the same unit."""
        now = datetime.fromtimestamp(now_ms / 1000, UTC)
        if ago := _AGO.fullmatch(self.text):
            return max(0, round(now_ms - _age_s(ago) * 1000))
        if clock := _CLOCK.fullmatch(self.text):
            at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
            return _to_ms(at if at <= now else at - timedelta(days=1))
        at = _iso(self.text) or now
        return _to_ms(at)


def duration_s(text: str) -> float:
    """Return the seconds of a duration such as `12h` or `90d`, up to 10,000 days.

    Raises ValueError, with the ways to write one, for anything else.
    """
    found = _AGO.fullmatch(text)
    if found is None or not 0 < _age_s(found) <= _LONGEST_S:
        raise ValueError(f"{text!r} is not a duration: write 30m, 12h, 90d or 4w, at most 10000d")
    return _age_s(found)


def _age_s(ago: re.Match[str]) -> float:
    return float(ago[1]) * _UNITS_S[ago[2]]


def _iso(text: str) -> datetime | None:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def _to_ms(at: datetime) -> int:
    return round(at.timestamp() * 1000)
