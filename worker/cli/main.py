"""The console script `closer`: finds the command that is named, runs it, and prints its error."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

import click

from tasks.errors import CloserError, ConfigurationError
from worker.observe.redaction import guard_tracebacks, redact

CANNOT, WRONG_USAGE = 1, 2

# Where each command is. Only the one that is run is imported, because importing all of them would be slow.
COMMANDS = {
    "demo": "worker.cli.demo:demo",
    "up": "worker.cli.up:up",
    "worker": "worker.cli.worker:work",
    "health": "worker.cli.health:health",
    "status": "worker.cli.status:status",
    "list": "worker.cli.list:list_",
    "show": "worker.cli.show:show",
    "requeue": "worker.cli.requeue:requeue",
    "discard": "worker.cli.discard:discard",
    "verify": "worker.cli.verify:verify",
    "pause": "worker.cli.pause:pause",
    "resume": "worker.cli.resume:resume",
    "rejected": "worker.cli.rejected:rejected",
    "audit": "worker.cli.audit:audit",
    "publish": "worker.cli.publish:publish",
    "check": "worker.cli.check:check",
    "ledger": "worker.cli.ledger:ledger",
    "completion": "worker.cli.completion:completion",
    "simulate": "worker.cli.simulate:simulate",
}


class Commands(click.Group):
    """The commands, in the order of the table above. A command's module is imported only when it is run."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  (click passes it)
        """Return the names of the commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the command of that name, and return it. Returns None when there is none."""
        module, _, attribute = COMMANDS.get(cmd_name, "").partition(":")
        if not module:
            return None
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="closer")
def cli() -> None:
    """Close shipment groups at the Sorted API, once each, and never lose one."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, and end the process with its exit code: 0 done, 1 could not, 2 wrong usage or configuration.

    `arguments`: those after the program's name; None for the process's own.
    """
    guard_tracebacks()
    try:
        cli.main(arguments, prog_name="closer")
    except CloserError as error:
        from worker.cli import phrase
        from worker.operations.refusal import Refused

        click.echo(redact(f"closer: {phrase.error(error)}"), err=True)
        sys.exit(WRONG_USAGE if isinstance(error, ConfigurationError | Refused) else CANNOT)
