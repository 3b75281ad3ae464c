"""`closer demo`: shows closer at work on this machine, against a simulated API."""

from __future__ import annotations

import json
import os
import signal
import sys

import click

from worker.settings import PREFIX


@click.command()
@click.option("--groups", type=click.IntRange(1, 100_000), default=300, show_default=True, help="How many groups.")
@click.option("--seed", type=int, default=0, show_default=True, help="What the scenario is drawn from.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document at the end, nothing else.")
def demo(groups: int, seed: int, as_json: bool) -> None:
    """Close sample groups at a SIMULATED API, on a store of its own. Nothing real is touched.

    Most groups close at once; some were closed before, are not locked, do not exist, are gone or forbidden,
    and some calls fail, are throttled or lose their reply. At the end the simulated API's records are
    compared with the ledger, group by group: exit code 0 only if nothing is lost and they agree.

    \b
    Example:
      closer demo --groups 500 --seed 7
    """
    from rich.console import Console

    from worker.demo.demo import play
    from worker.demo.progress import Silence, view
    from worker.demo.scenario import draw_scenario

    # The demo has its own settings: whatever is set here is for the real closer.
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # cleans up as Ctrl-C does
    scenario = draw_scenario(groups, seed)
    if as_json:
        report = play(scenario, Silence())
        click.echo(json.dumps(report.as_json()))
        for line in report.complaints():
            click.echo(f"closer: {line}", err=True)
    else:
        click.echo(f"Closing {groups} groups (seed {seed}) at a simulated API. Nothing reaches Sorted.")
        with view(Console(highlight=False)) as shown:
            report = play(scenario, shown)
        click.echo()
        for line in report.lines():
            click.echo(line)
    sys.exit(0 if report.good else 1)
