"""Says once what is wrong, and once that it is over: a log that repeats itself hides what matters."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("closer.outages")


class OutageLog:
    """Tells of what keeps one part from its work: when it begins, when it becomes another, and when it is over."""

    def __init__(self, part: str) -> None:
        self._part = part
        self._since: float | None = None
        self._text = ""

    @property
    def text(self) -> str:
        """What is wrong now; empty when nothing is."""
        return self._text

    def begins(self, error: Exception) -> None:
        """Note an error; logged when it is the first, or another than the last one."""
        if self._since is None:
            self._since = time.monotonic()
        if str(error) != self._text:
            self._text = str(error)
            _log.warning("%s waits: %s", self._part, self._text)

    def ends(self) -> None:
        """Note success; logged when there was trouble."""
        if self._since is not None:
            _log.warning("%s goes on, after %.1f s of trouble", self._part, time.monotonic() - self._since)
            self._since, self._text = None, ""


class Seldom:
    """Lets one line through in a while, and counts the others: a flood of bad input must not become one of lines."""

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: seconds that are never set back."""
        self._every_s = every_s
        self._clock = clock
        self._next_s = float("-inf")
        self._unsaid = 0
        self._lock = threading.Lock()

    def due(self) -> int | None:
        """How many were held back since the last line, if a line is due now; else None."""
        with self._lock:
            now_s = self._clock()
            if now_s < self._next_s:
                self._unsaid += 1
                return None
            self._next_s, unsaid, self._unsaid = now_s + self._every_s, self._unsaid, 0
            return unsaid
