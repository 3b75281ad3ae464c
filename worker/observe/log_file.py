"""Writes log lines to a file. When the file is moved away, as logrotate does, a new one with its name is begun."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from worker.observe.log_writer import LogWriter

_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC


class LogFileWriter(LogWriter):
    """A `LogWriter` whose descriptor is that of a file with a name."""

    def __init__(self, path: Path, *, most_held: int) -> None:
        """`most_held`: see `LogWriter`. Raises OSError when the file cannot be opened."""
        self._path = path
        super().__init__(os.open(path, _APPEND, 0o644), most_held=most_held)

    def _write(self, lines: list[str]) -> int:
        with suppress(OSError):  # without a folder for a new file the lines go on to the old one
            if self._is_moved():
                new = os.open(self._path, _APPEND, 0o644)
                os.close(self._fd)
                self._fd = new
        return super()._write(lines)

    def _is_moved(self) -> bool:
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return True
        ours = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
