"""`closer alerts`: tries the webhook."""

from __future__ import annotations

import asyncio
import sys
import time
import uuid

import click

from worker.cli import options
from worker.cli.output import count, print_json, say
from worker.operations.drill import drill
from worker.settings import load


@click.group()
def alerts() -> None:
    """Try the alerts, which a worker sends to CLOSER_ALERT_WEBHOOK_URL."""


@alerts.command("drill")
@options.as_json
def drill_command(as_json: bool) -> None:
    """Send one alert of each kind to the webhook, marked as a drill.

    It needs CLOSER_ALERT_WEBHOOK_URL and CLOSER_ALERT_WEBHOOK_SECRET as the workers have them, and no store.

    \b
    Example:
      closer alerts drill
    """
    done = asyncio.run(drill(load(), now_ms=int(time.time() * 1000), name=uuid.uuid4().hex[:12]))
    sent = [one.alert.kind for one in done if one.problem is None]
    problem = done[-1].problem
    if as_json:
        print_json({"delivered": sent, "problem": problem})
    else:
        click.echo(f"{count(len(sent), 'alert was', 'alerts were')} delivered: {', '.join(sent) or 'none'}")
    if problem:
        say(f"closer: {done[-1].alert.kind} was not delivered, and the rest was not tried: {problem}")
        sys.exit(1)
