"""`closer metrics`: prints the fleet's metrics once."""

from __future__ import annotations

import sys

import click

from worker.cli.output import say
from worker.cli.session import with_context
from worker.operations.context import OperatorContext
from worker.operations.metrics import FleetMetrics


@click.command()
def metrics() -> None:
    """Print the fleet's metrics once, in Prometheus's text format.

    While the store is away only `closer_store_up 0` and a little more is printed, and the exit code is 1.

    \b
    Example:
      closer metrics > closer.prom.new && mv closer.prom.new /var/lib/prometheus/node-exporter/closer.prom
    """
    text, up = with_context(_once)
    click.echo(text.decode(), nl=False)
    if not up:
        say("closer: the store does not answer; `closer check` says what is wrong")
        sys.exit(1)


async def _once(context: OperatorContext) -> tuple[bytes, bool]:
    found = FleetMetrics()
    return await found.text(context), found.up
