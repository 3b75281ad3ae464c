"""Turns a worker's stdout and stderr into log lines, so that printing cannot block or fail.

Celery's signal handlers print before they do what the signal asks for. When the reader is gone, such a print raises an
error, and nobody could stop the worker.
"""

from __future__ import annotations

import io
import logging
import re
import sys
from contextlib import suppress
from importlib import import_module
from typing import IO

_log = logging.getLogger("closer.output")
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class LogStream(io.TextIOBase):
    """Replaces stdout or stderr, and logs each line that is written to it."""

    def __init__(self, level: int, behind: IO[str] | None) -> None:
        """`level`: of the log lines. `behind`: the stream that it replaces; None when that was closed at the start."""
        self._level = level
        self._behind = behind
        self._begun = ""

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, text: str) -> int:
        """Log every line that is complete now. Returns the number of characters taken, which is all of them."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                _log.log(self._level, "%s", _COLOUR.sub("", line).rstrip())
        return len(text)

    def fileno(self) -> int:
        """Return the descriptor of the replaced stream, for callers that pass it on. Raises OSError without one."""
        return self._behind.fileno() if self._behind else super().fileno()

    def isatty(self) -> bool:
        """Return whether the replaced stream is a terminal."""
        return self._behind is not None and self._behind.isatty()


def take_over() -> None:
    """Turn everything that this process prints from now on into log lines."""
    out, err = sys.__stdout__, sys.__stderr__
    for stream in (out, err):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    for name, level, behind in (("stdout", logging.INFO, out), ("stderr", logging.WARNING, err)):
        ours = LogStream(level, behind)
        setattr(sys, name, ours)
        setattr(sys, f"__{name}__", ours)
    # Celery's signal handlers print with this function, which writes to the descriptor directly.
    setattr(import_module("celery.apps.worker"), "safe_say", _say)  # noqa: B010  (its stub does not know this name)


def _say(text: str, stream: object = None) -> None:  # noqa: ARG001  (Celery passes it)
    _log.info("%s", text)
