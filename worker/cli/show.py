"""`closer show`: tells the story of one closure, or of each that is named."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import IO

import click

from worker.cli import options, phrase
from worker.cli import references as refs
from worker.cli.output import count, plain, print_json, say
from worker.cli.output import show as print_page
from worker.cli.session import with_context
from worker.cli.story_screen import story_lines
from worker.cli.streams import nobody_reads
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.selection import Selection
from worker.operations.step import CouldNot, Step
from worker.operations.story import Story, story
from worker.operations.story import curl as call_as_curl

_NAMED = 20


@click.command()
@refs.argument
@refs.file_option
@click.option("--curl", is_flag=True, help="Print the close call as a curl command, with the key left out.")
@options.as_json
def show(references: Sequence[str], files: Sequence[IO[bytes]], curl: bool, as_json: bool) -> None:
    """Tell one closure's story: what happened, what it means, what to do.

    Of several, each story is told, with --json as one object a line.

    \b
    Examples:
      closer show sg_00684650028894794889609836494848
      closer show --file groups.txt --json
    """
    named = refs.named(references, files)
    if not named:
        raise click.UsageError("say which: give references, --file PATH, or - for standard input")
    unknown = with_context(lambda context: _tell_all(context, named, curl=curl, as_json=as_json))
    if unknown:
        _tell_unknown(unknown)
        sys.exit(1)


async def _tell_all(context: OperatorContext, named: Sequence[str], *, curl: bool, as_json: bool) -> list[str]:
    """Print what is asked for of each, and return those that the ledger does not know."""
    Selection(tuple(named)).check()
    unknown = []
    for index, reference in enumerate(named):
        if nobody_reads():
            break
        if curl:
            _print_curl(await call_as_curl(context, reference), as_json)
        elif found := await story(context, reference):
            _print_story(found, as_json, first=index == 0)
        else:
            unknown.append(reference)
    return unknown


def _print_curl(command: str, as_json: bool) -> None:
    if as_json:
        print_json({"curl": command})
    else:
        click.echo(command)


def _print_story(found: Story, as_json: bool, *, first: bool) -> None:
    if as_json:
        print_json(found.as_json())
        return
    if not first:
        click.echo()
    for line in story_lines(found):
        print_page(line)


def _tell_unknown(unknown: Sequence[str]) -> None:
    for reference in unknown[:_NAMED]:
        known = CouldNot(
            f"no closure of {reference} is known: its event has not come, or was rejected", Step(Verb.REJECTED)
        )
        say(plain(f"closer: {phrase.error(known)}"))
    if len(unknown) > _NAMED:
        say(f"closer: and {count(len(unknown) - _NAMED, 'more is', 'more are')} not known")
