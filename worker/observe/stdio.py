"""A worker's stdout and stderr: whatever is printed becomes log lines, so that printing cannot block or fail.

Celery prints in its signal handlers, before they do what the signal asks for. With a reader that is gone such a print
raises, and the worker could not be stopped.
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
    """Stands in for stdout or stderr; each line that is written to it is logged."""

    def __init__(self, level: int, behind: IO[str] | None) -> None:
        """`behind`: the stream that it stands in for; None when there is none, because it was closed at the start."""
        self._level = level
        self._behind = behind
        self._begun = ""

    def writable(self) -> bool:
        """It always is."""
        return True

    def write(self, text: str) -> int:
        """Log every line that is complete now."""
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            if line.strip():
                _log.log(self._level, "%s", _COLOUR.sub("", line).rstrip())
        return len(text)

    def fileno(self) -> int:
        """The descriptor of the stream behind it: who asks wants to pass it on. Raises OSError when there is none."""
        return self._behind.fileno() if self._behind else super().fileno()

    def isatty(self) -> bool:
        """Whether the stream behind it is a terminal."""
        return self._behind is not None and self._behind.isatty()


def take_over() -> None:
    """Turn all that this process prints from now on into log lines."""
    out, err = sys.__stdout__, sys.__stderr__
    for stream in (out, err):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    for name, level, behind in (("stdout", logging.INFO, out), ("stderr", logging.WARNING, err)):
        ours = LogStream(level, behind)
        setattr(sys, name, ours)
        setattr(sys, f"__{name}__", ours)
    # What Celery's signal handlers print with: it writes to the descriptor itself.
    setattr(import_module("celery.apps.worker"), "safe_say", _say)  # noqa: B010  (its stub does not know it)


def _say(text: str, stream: object = None) -> None:  # noqa: ARG001  (Celery passes it)
    _log.info("%s", text)
