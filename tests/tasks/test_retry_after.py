"""`Retry-After`, in every form that somebody may write it; what was meant is never undercut."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.api.retry_after import MAX_RETRY_AFTER_S, parse_retry_after

NOW = datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)
IMF, RFC850, ASCTIME = "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("0", None, 0.0),
        ("120", None, 120.0),
        (" 120 ", None, 120.0),
        ("000000000000000120", None, 120.0),
        ("9" * 60_000, None, MAX_RETRY_AFTER_S),
        ("soon", None, None),
        ("", None, None),
        (",;", None, None),
        ("٣", None, None),
        # Decimals, and numbers that are not a count of seconds.
        ("6.0", None, 6.0),
        ("1.5", None, 1.5),
        ("6.", None, 6.0),
        (".5", None, 0.5),
        ("+6", None, 6.0),
        ("1e3", None, 1000.0),
        ("1e99999", None, MAX_RETRY_AFTER_S),
        ("-5", None, 0.0),
        ("-5.5", None, 0.0),
        ("0x10", None, None),
        ("nan", None, None),
        ("inf", None, None),
        # Quotes and parameters.
        ('"6"', None, 6.0),
        ("'6'", None, 6.0),
        ('" 6 "', None, 6.0),
        ("6;", None, 6.0),
        ("6; reason=maintenance", None, 6.0),
        # Units.
        ("6s", None, 6.0),
        ("6 s", None, 6.0),
        ("6S", None, 6.0),
        ("6sec", None, 6.0),
        ("6 secs.", None, 6.0),
        ("6 seconds", None, 6.0),
        ("1 second", None, 1.0),
        ("500ms", None, 0.5),
        ("2m", None, 120.0),
        ("2 min", None, 120.0),
        ("2 minutes", None, 120.0),
        ("2h", None, 7200.0),
        ("1 hour", None, 3600.0),
        ("1d", None, 86_400.0),
        ("1h30m", None, 5400.0),
        ("1m0.5s", None, 60.5),
        ("1 hour 30 minutes", None, 5400.0),
        ("PT1M30S", None, 90.0),
        ("6 apples", None, None),
        ("6s soon", None, None),
        # Several values: the latest counts.
        ("6, 6", None, 6.0),
        ("6,120", None, 120.0),
        ("120, 6", None, 120.0),
        ("6, soon, 2m", None, 120.0),
        ("6; 120", None, 120.0),
        (f"6, {IMF}", None, 37.0),
        (f"{IMF}, 60", None, 60.0),
        (f"{IMF}, {RFC850.replace('08:49:37', '08:50:00')}", None, 60.0),
        (f"{ASCTIME}, 6", None, 37.0),
        # Dates, and what people make of them.
        (IMF, None, 37.0),
        (RFC850, None, 37.0),
        (ASCTIME, None, 37.0),
        (f'"{IMF}"', None, 37.0),
        (IMF.lower(), None, 37.0),
        (IMF.upper(), None, 37.0),
        (IMF.replace("Sun, ", ""), None, 37.0),
        (IMF.replace("Sun", "Mon"), None, 37.0),
        (IMF.replace("GMT", "UTC"), None, 37.0),
        (IMF.replace("GMT", "Z"), None, 37.0),
        (IMF.replace("GMT", "+0000"), None, 37.0),
        (IMF.replace("GMT", "-0000"), None, 37.0),
        (IMF.replace(" GMT", ""), None, 37.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", None, 37.0),
        ("Sun, 6 Nov 1994 8:49:37 GMT", None, 37.0),
        ("Sun, 06-Nov-1994 08:49:37 GMT", None, 37.0),
        ("1994-11-06T08:49:37Z", None, 37.0),
        ("1994-11-06T09:49:37+01:00", None, 37.0),
        ("1994-11-06 08:49:37", None, 37.0),
        ("1994-11-06T08:49:37.5Z", None, 37.5),
        ("Sun, 06 Nov 1994 08:00:00 GMT", None, 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, MAX_RETRY_AFTER_S),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None, None),
        # The API's clock is an hour ahead, or a day behind: its own Date tells how long it meant.
        (IMF, "Sun, 06 Nov 1994 08:49:30 GMT", 7.0),
        ("Sun, 06 Nov 1994 09:49:37 GMT", "Sun, 06 Nov 1994 09:49:07 GMT", 30.0),
        ("Sat, 05 Nov 1994 08:49:37 GMT", "Sat, 05 Nov 1994 08:48:37 GMT", 60.0),
        (IMF, "06 nov 1994 08:49:30 +0000", 7.0),
        (IMF, "Sun, 06 Nov 1994 08:49:30 GMT, Sun, 06 Nov 1994 08:49:20 GMT", 17.0),  # two: the longer wait
        (IMF, "no date", 37.0),
        (IMF, "30", 37.0),
        ("30", "Sun, 06 Nov 2094 08:49:30 GMT", 30.0),
    ],
)
def test_parse_retry_after(value: str | None, date: str | None, seconds: float | None) -> None:
    """Whatever can be understood is, garbage is not; the sender's clock counts before ours."""
    assert parse_retry_after(value, date, NOW) == seconds


Write = Callable[[datetime], str]
_FORMS = ["{}", "{}.0", "{}s", "{} s", "{} seconds", '"{}"', "'{}'", " {} ", "+{}", "00{}", "PT{}S", "{};x=1"]
_DATES: list[Write] = [
    lambda at: format_datetime(at, usegmt=True),
    lambda at: format_datetime(at, usegmt=True).lower(),
    format_datetime,
    lambda at: format_datetime(at).partition(", ")[2],
    lambda at: at.strftime("%A, %d-%b-%y %H:%M:%S GMT"),
    lambda at: at.strftime("%a %b %e %H:%M:%S %Y"),
    lambda at: at.isoformat(),
]
_seconds = st.integers(0, int(MAX_RETRY_AFTER_S))
_moments = st.integers(0, 3_000_000_000).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))
_written = st.tuples(_seconds, st.sampled_from(_FORMS)).map(lambda pair: (pair[1].format(pair[0]), pair[0]))
_dated = st.tuples(_seconds, st.sampled_from(_DATES)).map(
    lambda pair: (pair[1](NOW + timedelta(seconds=pair[0])), pair[0])
)
_garbage = st.sampled_from(["", "soon", "Sun", "x=1", "6 apples", "later", "?"]).map(lambda word: (word, 0))


@given(st.lists(_written | _dated | _garbage, min_size=1, max_size=4), st.sampled_from([", ", ",", " , ", "; "]))
@example([("31622400", 31_622_400)], ", ")
def test_what_was_meant_is_never_undercut(meant: list[tuple[str, int]], between: str) -> None:
    """Of several values, in whatever form, the latest counts, and exactly that."""
    latest = max(seconds for _, seconds in meant)
    said = parse_retry_after(between.join(text for text, _ in meant), None, NOW)
    assert (said or 0.0) == latest


@given(_seconds, _moments, st.sampled_from(_DATES), st.sampled_from(_DATES))
def test_a_date_against_the_clock_of_its_sender(seconds: int, sent: datetime, one: Write, other: Write) -> None:
    """However wrong the sender's clock is, and in whatever form it writes its dates, the wait is what it meant."""
    until = sent + timedelta(seconds=seconds)
    assert parse_retry_after(one(until), other(sent), NOW) == seconds
