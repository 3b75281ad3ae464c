"""`closer up`: run everything on this machine."""

from __future__ import annotations

import os

import click

from worker.cli.run import run


@click.command()
def up() -> None:
    """Run everything on this machine: the embedded store and a worker.

    Ctrl-C or SIGTERM stops it cleanly: calls in flight end, the rest waits for the next start.

    \b
    Example:
      CLOSER_API_KEY=… closer up
    """
    os.environ.pop("CLOSER_REDIS_URL", None)
    run()
