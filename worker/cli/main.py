"""The console script `closer`: finds the command that is named, runs it, and prints its error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tasks.errors import CloserError, ConfigurationError
from worker import first_signals
from worker.cli import live, streams, utf8
from worker.observe.last_words import guard_tracebacks, say
from worker.observe.redaction import redact

CANNOT, WRONG_USAGE = 1, 2
_LOGGING = {"worker", "up", "console"}  # commands whose stderr is a log; others speak to people


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command and end with its exit code: 0 done, 1 could not, 2 wrong usage or configuration."""
    guard_tracebacks()
    if arguments is None:
        utf8.ensure()
    stdout = streams.take_over()
    try:
        code = _run(streams.decoded(sys.argv[1:] if arguments is None else arguments))
    except streams.NotUtf8 as error:
        code = _told(str(error), WRONG_USAGE)
    stdout.flush()
    if stdout.complaint:
        failed = _told(stdout.complaint, CANNOT)
        code = code or failed
    sys.exit(code)


def _run(arguments: Sequence[str]) -> int | str | None:
    """Run a command, print its error, and return its exit code."""
    try:
        if live.is_asked(arguments):
            return live.answer(arguments)
        from worker.cli.commands import cli

        first_signals.release(arguments)
        cli.main(arguments, prog_name="closer")
    except SystemExit as end:
        return end.code
    except CloserError as error:
        from worker.cli import phrase
        from worker.operations.refusal import Refused

        code = WRONG_USAGE if isinstance(error, ConfigurationError | Refused) else CANNOT
        return _told(phrase.error(error), code, is_log=not _LOGGING.isdisjoint(arguments[:1]))


def _told(problem: str, code: int, *, is_log: bool = False) -> int:
    if is_log:
        say(problem)
    else:
        sys.stderr.write(redact(f"closer: {problem}\n"))  # click would load slowly
    return code
