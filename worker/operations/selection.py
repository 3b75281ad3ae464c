"""Which closures an operator means: references, or filters that combine. Pure: the time comes in as an argument."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.catalogue import Query
from tasks.closure import iso
from tasks.event import is_reference

_AGO = re.compile(r"(\d+(?:\.\d+)?)\s*([smhdw])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_CLOCK = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_NAMED = 5
_ALL = Query()

# How each condition of a query is written on the command line.
_FLAGS = {
    "states": "--state", "reasons": "--reason", "statuses": "--status-code", "codes": "--code", "sources": "--source",
    "since_ms": "--since", "until_ms": "--until", "attempts_over": "--attempts-over", "prefix": "--reference-prefix",
    "text": "--text",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Selection:
    """References, or all that match a query."""

    references: tuple[str, ...] = ()
    query: Query = _ALL

    @classmethod
    def of(cls, references: Sequence[str], query: Query) -> Selection:
        """Raises ValueError when references and filters are mixed, or a reference cannot be one."""
        if references and query != _ALL:
            raise ValueError("give references or filters, not both")
        for reference in references:
            if not is_reference(reference):
                raise ValueError(f"{reference!r} is no reference: 1 to 128 characters of A-Z a-z 0-9 _ -")
        return cls(tuple(dict.fromkeys(references)), query)

    @property
    def everything(self) -> bool:
        """Whether nothing was asked for in particular."""
        return not self.references and self.query == _ALL

    def __str__(self) -> str:
        """As it is written on the command line, for the audit; of many references the first five and how many."""
        if not self.references:
            return " ".join(_written(self.query))
        more = len(self.references) - _NAMED
        return " ".join(self.references[:_NAMED]) + (f" and {more} more" if more > 0 else "")


def moment(text: str, now: datetime) -> datetime:
    """A time as people write it: `90s`, `30m`, `2h`, `1d` ago; `03:00`, the last one, UTC; or ISO 8601.

    Raises ValueError.
    """
    if ago := _AGO.fullmatch(text):
        return now - timedelta(seconds=float(ago[1]) * _UNITS_S[ago[2]])
    if clock := _CLOCK.fullmatch(text):
        at = now.replace(hour=int(clock[1]), minute=int(clock[2]), second=0, microsecond=0)
        return at if at <= now else at - timedelta(days=1)
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: write 30m, 2h or 1d (ago), 03:00 (UTC), or 2026-01-31T03:00Z") from None
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def to_ms(at: datetime) -> int:
    """Milliseconds since the epoch."""
    return round(at.timestamp() * 1000)


def _written(query: Query) -> list[str]:
    words = []
    for field in fields(query):
        value = getattr(query, field.name)
        if value is None or value == ():
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [_FLAGS[field.name], _word(iso(one) if field.name.endswith("_ms") else one)]
    return words


def _word(value: Any) -> str:
    text = str(value)
    return text if text and not re.search(r"[\s'\"]", text) else repr(text)
