"""Says once what is wrong, and once that it is over: a log that repeats itself hides what matters."""

from __future__ import annotations

import logging
import time

_log = logging.getLogger("closer.trouble")


class Trouble:
    """What keeps one part from its work, if anything."""

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
