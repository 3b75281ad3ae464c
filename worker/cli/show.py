"""`closer show`: tells one closure's story."""

from __future__ import annotations

import click

from worker.cli import options
from worker.cli.output import print_json
from worker.cli.output import show as print_page
from worker.cli.screens import story_lines
from worker.cli.session import with_context
from worker.operations.operator import Verb
from worker.operations.selection import Selection
from worker.operations.step import CouldNot, Step
from worker.operations.story import curl as call_as_curl
from worker.operations.story import story
from worker.settings import load


@click.command()
@click.argument("reference", metavar="REF")
@click.option("--curl", is_flag=True, help="Print the close call as a curl command, with the key left out.")
@options.as_json
def show(reference: str, curl: bool, as_json: bool) -> None:
    """Tell one closure's story: what happened, what it means, what to do.

    \b
    Example:
      closer show sg_00684650028894794889609836494848
    """
    if curl:
        Selection((reference,)).check()
        command = call_as_curl(load(), reference)
        if as_json:
            print_json({"curl": command})
        else:
            click.echo(command)
        return
    found = with_context(lambda context: story(context, reference))
    if found is None:
        raise CouldNot(
            f"no closure of {reference} is known: its event has not come, or was rejected", Step(Verb.REJECTED)
        )
    if as_json:
        print_json(found.as_json())
    else:
        for line in story_lines(found):
            print_page(line)
