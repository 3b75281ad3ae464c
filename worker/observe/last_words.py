"""What a process says on stderr before its log works, and when it crashes: a log line where the log is to be JSON."""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from types import TracebackType

from worker.environment import BLANKS
from worker.observe.redaction import redact

_log = logging.getLogger("closer.crash")


def say(problem: str) -> None:
    """Say on stderr why this process ends, without secrets: as `closer: …`, or as a line of JSON."""
    shown = redact(problem)
    sys.stderr.write(f"{_as_line(shown) if _is_json() else f'closer: {shown}'}\n")
    sys.stderr.flush()


def guard_tracebacks() -> None:
    """Keep the secrets out of tracebacks of errors that nobody catches, in the process and in its threads."""
    sys.excepthook = _crash
    threading.excepthook = lambda args: _crash(args.exc_type, args.exc_value, args.exc_traceback)


def _crash(kind: type[BaseException], error: BaseException | None, at: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt | SystemExit):
        return
    text = redact("".join(traceback.format_exception(kind, error, at)))
    if _has_log():
        _log.critical("%s is not handled", kind.__name__, extra={"fields": {"error": text}})
    else:
        sys.stderr.write(f"{_as_line(f'{kind.__name__} is not handled', error=text)}\n" if _is_json() else text)
        sys.stderr.flush()


def _is_json() -> bool:
    """Return whether log lines are to be JSON. The other settings may be what is wrong, so they are not read."""
    return os.environ.get("CLOSER_LOG_FORMAT", "").strip(BLANKS) == "json"


def _has_log() -> bool:
    from worker.observe.log_writer import LogWriter  # a probe of life imports this module, too, and needs no log

    return any(isinstance(handler, LogWriter) for handler in logging.getLogger().handlers)


def _as_line(event: str, **fields: str) -> str:
    from worker.observe.logs import JsonFormatter

    record = logging.LogRecord("closer", logging.CRITICAL, "", 0, "%s", (event,), None)
    record.fields = fields
    return JsonFormatter().format(record)
