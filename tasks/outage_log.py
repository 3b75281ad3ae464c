"""Logs an outage once when it begins and once when it is over. Repeated lines would hide what matters."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_log = logging.getLogger("closer.outages")


class OutageLog:
    """Logs what keeps one part from its work: when it begins, when its cause changes, and when it is over."""

    def __init__(self, part: str) -> None:
        """`part`: the name of the part, with which each line begins."""
        self._part = part
        self._since: float | None = None
        self._text = ""

    @property
    def text(self) -> str:
        """What is wrong now, "" when nothing is."""
        return self._text

    def begins(self, error: Exception) -> None:
        """Note an error. It is logged if the part was well before, or if its text differs from the last one."""
        if self._since is None:
            self._since = time.monotonic()
        if str(error) != self._text:
            self._text = str(error)
            _log.warning("%s waits: %s", self._part, self._text)

    def ends(self) -> None:
        """Note success. It is logged, with the outage's length, if there was an error before."""
        if self._since is not None:
            _log.warning("%s goes on, after %.1f s of trouble", self._part, time.monotonic() - self._since)
            self._since, self._text = None, ""


class Seldom:
    """Lets one log line through in a while and counts the others.

    Bad input can come in thousands, and must not fill the log. It may be used from several threads.
    """

    def __init__(self, every_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`every_s`: the shortest time between two lines (s). `clock`: a clock in seconds that is never set back."""
        self._every_s = every_s
        self._clock = clock
        self._next_s = float("-inf")
        self._unsaid = 0
        self._lock = threading.Lock()

    def due(self) -> int | None:
        """Return how many lines were held back since the last one, if a line is due now; None if it is not."""
        with self._lock:
            now_s = self._clock()
            if now_s < self._next_s:
                self._unsaid += 1
                return None
            self._next_s, unsaid, self._unsaid = now_s + self._every_s, self._unsaid, 0
            return unsaid
