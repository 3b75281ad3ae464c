"""Writes log lines from a thread of its own, so that logging never waits for the reader of the log, and never fails.

When the reader stalls or is gone, lines are lost, but work goes on. The writer counts the lost lines. When the reader
takes lines again, a notice stands where they are missing.
"""

from __future__ import annotations

import logging
import os
import select
import sys
import threading
from contextlib import suppress
from queue import Empty, SimpleQueue

_HOLD_S = 0.2  # a write for each line would cost more than everything else about the line
_PIECE = 64 * 1024  # bytes a write
_STDERR = 2


class LogWriter(logging.Handler):
    """Holds lines until its thread writes them: at once for a warning or worse, otherwise within `_HOLD_S`.

    `emit` may be called from a signal handler, even one that has interrupted `emit`: its lock is reentrant, and so
    are a list's `append` and a SimpleQueue's `put`.
    """

    def __init__(self, fd: int, *, encoding: str = "utf-8", most_held: int = 1_000_000) -> None:
        """`fd`: the descriptor to write to, which may be closed. `most_held`: characters that may wait for a reader."""
        super().__init__()
        self._fd = fd
        self._encoding = encoding
        self._most_held = most_held
        self._lines: list[str] = []
        self._held = 0
        self._dropped = 0  # lines lost since the last write; they come after all that are in `_lines`
        self._lost = 0  # lines, since the start, without `_dropped`
        self._untold = 0
        self._broken_line = False
        self._wake: SimpleQueue[threading.Event | None] = SimpleQueue()
        threading.Thread(target=self._run, name="log-writer", daemon=True).start()

    @property
    def lost(self) -> int:
        """How many lines were lost since the start. Lines that still wait for a reader do not count."""
        return self._lost + self._dropped

    def emit(self, record: logging.LogRecord) -> None:
        """Hold the line, or count it as lost when too many characters are held already."""
        line = self._format(record)
        if self._dropped or self._held + len(line) > self._most_held:
            self._dropped += 1
            return
        self._lines.append(line)
        self._held += len(line)
        if record.levelno >= logging.WARNING and self._wake.empty():
            self._wake.put(None)

    def finish(self, within_s: float) -> None:
        """Write everything that is held. Wait for it at most `within_s` seconds, because the reader may stall."""
        written = threading.Event()
        self._wake.put(written)
        written.wait(within_s)

    def _format(self, record: logging.LogRecord) -> str:
        try:
            return self.format(record)
        except Exception as error:  # the arguments do not fit the message: a defect of the caller
            text = f"{record.msg!r} with {record.args!r} is not a log message ({error})"
            return self.format(logging.LogRecord(record.name, record.levelno, "", 0, text, (), None))

    def _run(self) -> None:
        while True:
            written: threading.Event | None = None
            with suppress(Empty):
                written = self._wake.get(timeout=_HOLD_S)
            self._write_what_is_held()
            if written is not None:
                written.set()

    def _write_what_is_held(self) -> None:
        self.acquire()
        lines, self._lines, self._held = self._lines, [], 0
        dropped, self._dropped = self._dropped, 0
        self._lost += dropped
        self.release()
        notice = [self._notice(self._untold)] if self._untold else []
        unwritten = self._write(notice + lines) if notice or lines else 0
        if unwritten <= len(lines):  # the notice was written
            self._untold = 0
        unwritten = min(unwritten, len(lines))
        self._lost += unwritten
        self._untold += unwritten + dropped

    def _notice(self, lost: int) -> str:
        text = "%d log lines were lost here: nobody read them, or they could not be written"
        return self._format(logging.LogRecord("closer.logs", logging.WARNING, "", 0, text, (lost,), None))

    def _write(self, lines: list[str]) -> int:
        """Write the lines; returns how many could not be written whole."""
        data, sent = b"\n" * len(lines), 0
        try:
            text = "\n" * self._broken_line + "\n".join(lines) + "\n"
            data = text.encode(self._encoding, "backslashreplace")
            while sent < len(data):
                sent += self._write_piece(data[sent : sent + _PIECE])
        except (OSError, MemoryError):
            if sent:
                self._broken_line = data[sent - 1] != ord("\n")
            return min(len(lines), data.count(b"\n", sent))
        self._broken_line = False
        return 0

    def _write_piece(self, piece: bytes) -> int:
        """Write once, and block while the reader stalls, even if another process made the descriptor non-blocking."""
        while True:
            try:
                return os.write(self._fd, piece)
            except BlockingIOError:
                room = select.poll()
                room.register(self._fd, select.POLLOUT)
                room.poll()


def own_stderr() -> int:
    """Return a descriptor of stderr that nobody else closes; -1 when the process has no stderr."""
    try:
        return os.dup(_STDERR) if sys.__stderr__ is not None else -1
    except OSError:
        return -1
