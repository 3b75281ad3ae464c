"""The time before which an event's group must not be closed: RFC 3339, as the attribute or in the data."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

# RFC 3339, section 5.6; "T" and "Z" may be small letters, and a blank may stand for "T".
_FORM = re.compile(
    r"(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(\.\d+)?(?:([Zz])|([+-])(\d{2}):(\d{2}))\Z", re.ASCII
)
_LATEST_MS = 253402300799999  # the end of the year 9999, the latest time that the ledger keeps
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WRONG = PydanticCustomError("time", "it is not a time of RFC 3339 with its zone, such as 2026-11-25T03:00:00Z")


def read_time(value: object) -> int:
    """Return a time of RFC 3339 in ms since the epoch, rounded up; 0 for one before 1970.

    Rounding up never makes a group close too early. Raises PydanticCustomError, a ValueError, for anything else.
    """
    found = _FORM.match(value) if isinstance(value, str) else None
    if found is None:
        raise _WRONG
    *date, second = map(int, found.groups()[:6])
    hours, minutes = int(found[10] or 0), int(found[11] or 0)
    if second > 60 or hours > 23 or minutes > 59:
        raise _WRONG
    try:
        at = datetime(*date, tzinfo=UTC)  # type: ignore[misc,arg-type]
    except ValueError:
        raise _WRONG from None
    fraction_ms = -int(-float(found[7] or 0) * 1000 // 1)  # rounded up
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if found[9] == "-" else 1)
    since = at - _EPOCH + timedelta(seconds=second) - offset
    return min(max(0, since // timedelta(milliseconds=1) + fraction_ms), _LATEST_MS)


NotBefore = Annotated[int, BeforeValidator(read_time)]


def later(one: int | None, other: int | None) -> int | None:
    """The later of two times, each of which may be missing."""
    return max(one or 0, other or 0) or None
