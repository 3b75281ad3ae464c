"""`closer publish`: put events on the stream by hand."""

from __future__ import annotations

import getpass
import socket
from collections.abc import Sequence
from itertools import chain
from typing import IO

import click

from worker.cli import options
from worker.cli import references as refs
from worker.cli.output import count, plain, print_json
from worker.cli.session import with_context
from worker.cli.streams import as_text
from worker.operations import publish as publishing
from worker.operations.context import OperatorContext
from worker.operations.reference_lines import one


@click.command()
@refs.argument
@click.option(
    "--file",
    "files",
    type=click.File("rb"),
    multiple=True,
    metavar="PATH",
    help="A line each: a reference, an event in JSON, or an array of them; - is stdin.",
)
@click.option("--source", help="The events' source.  [default: closer-cli, you and this machine]")
@click.option("--id", "event_id", help="The event's id, for one reference.  [default: one that no other has]")
@options.as_json
def publish(
    references: Sequence[str], files: Sequence[IO[bytes]], source: str | None, event_id: str | None, as_json: bool
) -> None:
    """Tell closer that groups are complete, as the warehouse system does.

    All is checked before the first event is sent. A group that is closed already costs no call.

    \b
    Examples:
      closer publish sg_00684650028894794889609836494848
      closer publish --file groups.txt
      cut -d, -f1 groups.csv | closer publish -

    Of a table with a header, the column `reference` is read. A reference that comes again counts once.
    """
    if event_id and (files or len(references) != 1 or references == (refs.STDIN,)):
        raise click.UsageError("--id names one event: give exactly one reference with it")
    references, files = refs.sources(references, files)
    if not (references or files):
        raise click.UsageError("nothing to publish: give references, --file PATH, or - for standard input")

    async def work(context: OperatorContext) -> tuple[int, str]:
        types = await context.types()
        named = (one(f"argument {number}", reference.strip()) for number, reference in enumerate(references, start=1))
        lines = chain(named, refs.lines(files, events=True))
        made = publishing.prepare(lines, source=source or _source(), types=types, event_id=event_id)
        if not (made.events or made.wrong):
            raise click.UsageError("nothing to publish: no line holds a reference or an event")
        refs.tell_repeats(made.repeats)
        return len(made.events), await publishing.send(context, made)

    published, stream = with_context(work)
    if as_json:
        print_json({"published": published, "stream": stream})
    else:
        click.echo(f"Published {count(published, 'event')} to {plain(stream)}.")


def _source() -> str:
    try:
        who = getpass.getuser()
    except (OSError, KeyError):
        who = "unknown"
    return f"closer-cli/{as_text(who)}@{socket.gethostname()}"
