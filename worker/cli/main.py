"""The console script `closer`: every command, and what an error looks like."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click

from tasks.errors import CloserError, ConfigurationError
from worker.cli.demo import demo
from worker.cli.run import up, work
from worker.cli.simulate import simulate

CANNOT, WRONG_USAGE = 1, 2


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(package_name="closer")
def cli() -> None:
    """Close shipment groups at the Sorted API, once each, and never lose one."""


for command in (work, up, simulate, demo):
    cli.add_command(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command; exit code 0 done, 1 could not, 2 wrong usage or configuration."""
    try:
        cli.main(arguments, prog_name="closer")
    except CloserError as error:
        click.echo(f"closer: {error}", err=True)
        sys.exit(WRONG_USAGE if isinstance(error, ConfigurationError) else CANNOT)
