"""`closer up`: run everything on this machine."""

from __future__ import annotations

import os

import click

from worker.cli import beside
from worker.cli.run import run
from worker.settings import load


@click.command()
def up() -> None:
    """Run everything on this machine: the embedded store, a worker and the console.

    The log tells the console's address. It is at CLOSER_HTTP_PORT, or at the next port that is free.

    Ctrl-C or SIGTERM stops it cleanly: calls in flight end, the rest waits for the next start.

    \b
    Example:
      CLOSER_API_KEY=… closer up
    """
    os.environ.pop("CLOSER_REDIS_URL", None)
    load().need_api_key()  # without it there is no worker, and so no console beside it
    with beside.console():
        run()
