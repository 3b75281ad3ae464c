"""The time before which an event's group must not be closed: RFC 3339, as the attribute or in the data."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import BaseModel, BeforeValidator
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
    digits = (found[7] or ".")[1:].ljust(3, "0")
    fraction_ms = int(digits[:3]) + bool(digits[3:].strip("0"))
    offset = timedelta(hours=hours, minutes=minutes) * (-1 if found[9] == "-" else 1)
    since = at - _EPOCH + timedelta(seconds=second) - offset
    return min(max(0, since // timedelta(milliseconds=1) + fraction_ms), _LATEST_MS)


def time_of(value: object) -> int | None:
    """Return what `read_time` reads; None where it raises. Two times that it tells apart are in this order."""
    try:
        return read_time(value)
    except PydanticCustomError:
        return None


NotBefore = Annotated[int, BeforeValidator(read_time)]


class WithNotBefore(BaseModel):
    """The field that holds the time, by each name that somebody may give it.

    `closeafter` is the CloudEvents attribute and `close_after` the name in the data. A time under the wrong one of
    these names must not be ignored, because the group would close too early.
    """

    closeafter: NotBefore | None = None
    close_after: NotBefore | None = None
    closeAfter: NotBefore | None = None  # noqa: N815  (as programs write it that use this case)

    @property
    def not_before_ms(self) -> int | None:
        """The latest of these times (ms since the epoch), or None."""
        return later(self.closeafter, self.close_after, self.closeAfter)


def later(*times: int | None) -> int | None:
    """The latest of these times, each of which may be missing."""
    return max(time or 0 for time in times) or None
