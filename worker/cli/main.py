"""The console script `closer`: finds the command that is named, runs it, and prints its error."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from tasks.errors import CloserError, ConfigurationError
from worker.cli import live
from worker.observe.redaction import guard_tracebacks, redact

CANNOT, WRONG_USAGE = 1, 2


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, and end the process with its exit code: 0 done, 1 could not, 2 wrong usage or configuration.

    `arguments`: those after the program's name; None for the process's own.
    """
    guard_tracebacks()
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if live.is_asked(arguments):
            sys.exit(live.answer(arguments))
        from worker.cli.commands import cli

        cli.main(arguments, prog_name="closer")
    except CloserError as error:
        import click

        from worker.cli import phrase
        from worker.operations.refusal import Refused

        click.echo(redact(f"closer: {phrase.error(error)}"), err=True)
        sys.exit(WRONG_USAGE if isinstance(error, ConfigurationError | Refused) else CANNOT)
