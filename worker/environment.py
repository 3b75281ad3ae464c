"""Reads variables as people give them: with a line break at the end, or in quotes that were not meant.

It imports nothing that is slow, because `closer health` runs for every probe.
"""

from __future__ import annotations

import os

PREFIX = "CLOSER_"
_QUOTES = "\"'`"


def given(name: str) -> str:
    """Return the value of `CLOSER_{name}`, in whichever case its name is written. Empty when it is not set."""
    wanted = PREFIX + name
    return os.environ.get(wanted) or next((value for one, value in os.environ.items() if one.upper() == wanted), "")


def bare(value: str) -> str:
    """Return the value without the blanks and line breaks at its ends: they come from files, and mean nothing.

    Raises ValueError when it stands in quotes. Nobody can tell whether another program of the same environment takes
    them off.
    """
    text = value.strip()
    if len(text) > 1 and text[0] in _QUOTES and text[0] == text[-1]:
        raise ValueError(
            "stands in quotes, which are a part of the value (`docker run --env-file` leaves them there): write it "
            "without"
        )
    return text
