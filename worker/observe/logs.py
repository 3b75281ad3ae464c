"""Configures logging: one line for each event, as text or JSON. No value can forge another line."""

from __future__ import annotations

import atexit
import json
import logging
import os
import re
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any

from worker.observe.log_file import LogFileWriter
from worker.observe.log_writer import LogWriter, own_stderr
from worker.observe.redaction import RedactingFormatter, Redaction

# These log each message and request. `closure.attempted` logs the same once, and better.
_QUIET = (
    "httpx",
    "httpcore",
    "aiohttp",
    "celery.worker.strategy",
    "kombu",
    "amqp",
    "celery.bootsteps",
)

_WORD = re.compile(r"[A-Za-z0-9_.:+-]+")
_REPETITIVE = ("celery.worker.consumer", "celery.worker.request", "kombu")
_SAY_AGAIN_S = 60.0
_LAST_WORDS_S = 1.0
MOST_HELD = 8 * 1024 * 1024  # characters of lines that may wait for a reader; more are lost


class TextFormatter(logging.Formatter):
    """`time LEVEL name message field=value …`; values that are not plain words are quoted as in JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, whatever the values hold."""
        words = [
            _time(record),
            record.levelname,
            record.name.removeprefix("closer."),
            _line(record.getMessage()),
        ]
        words += [f"{name}={_plain(value)}" for name, value in _fields(record).items()]
        return " ".join(words)


class JsonFormatter(logging.Formatter):
    """One JSON object on each line: `at`, `level`, `logger`, `event`, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of ASCII."""
        head = {"at": _time(record), "level": record.levelname.lower(), "logger": record.name}
        return json.dumps(head | {"event": record.getMessage()} | _fields(record), default=str)


class RateLimitFilter(logging.Filter):
    """Lets a repeated line pass once a minute. Celery repeats one several times a second while its broker is away."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock`: returns monotonic seconds. A clock that is set back would hold lines back for as long."""
        super().__init__()
        self._clock = clock
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether to log the record. Celery's tracebacks are cut to their last line."""
        if record.name == "py.warnings":
            return "CPendingDeprecationWarning" not in record.getMessage()  # Celery's, at every lost connection
        if not record.name.startswith(_REPETITIVE):
            return True
        if record.exc_info and record.exc_info[1]:
            record.msg, record.args = f"{record.getMessage()} ({record.exc_info[1]})", ()
            record.exc_info = None
        said = (record.name, str(record.msg))
        now_s = self._clock()
        if now_s - self._said.get(said, float("-inf")) < _SAY_AGAIN_S:
            return False
        self._said[said] = now_s
        return True


def configure(level: str, form: str, file: Path | None = None) -> None:
    """Send all logs to stderr or a file, from a thread. Lines that are held when the process ends are written then.

    `level`: a level of Python's logging, in either case. `form`: `json`; anything else means text. `file`: None means
    stderr. Raises OSError when the file cannot be opened.
    """
    handler = LogFileWriter(file, most_held=MOST_HELD) if file else _to_stderr()
    inner = JsonFormatter() if form == "json" else TextFormatter()
    handler.setFormatter(RedactingFormatter(inner, Redaction(os.environ)))
    handler.addFilter(RateLimitFilter())
    # closer's lines show none of these, so Python need not collect them ("Optimization" in its Logging HOWTO).
    logging._srcfile = None  # noqa: SLF001
    logging.logThreads = logging.logMultiprocessing = logging.logProcesses = False
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(True)
    atexit.register(finish)
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    # At WARNING it logs a traceback for each message that goes back to the queue when the process stops.
    logging.getLogger("celery.app.trace").setLevel(logging.ERROR)


def _to_stderr() -> LogWriter:
    encoding = sys.__stderr__.encoding if sys.__stderr__ else "utf-8"
    return LogWriter(own_stderr(), encoding=encoding, most_held=MOST_HELD)


def finish() -> None:
    """Write all lines that are held. Give up after `_LAST_WORDS_S` when the reader stalls."""
    for handler in _writers():
        handler.finish(_LAST_WORDS_S)


def lost() -> int:
    """Return how many lines of this process's log were lost."""
    return sum(handler.lost for handler in _writers())


def _writers() -> list[LogWriter]:
    return [handler for handler in logging.getLogger().handlers if isinstance(handler, LogWriter)]


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields = {name: value for name, value in getattr(record, "fields", {}).items() if value is not None}
    if record.exc_info and record.exc_info[0]:
        fields["error"] = logging.Formatter().formatException(record.exc_info)
    return fields


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


@lru_cache(maxsize=2)
def _second(since_epoch_s: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_epoch_s))


def _plain(value: Any) -> str:
    text = str(value)
    return text if _WORD.fullmatch(text) else json.dumps(text)


def _line(text: str) -> str:
    return text if text.isprintable() else json.dumps(text)
