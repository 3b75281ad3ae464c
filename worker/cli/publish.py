"""`closer publish`: put events on the stream by hand."""

from __future__ import annotations

import getpass
import socket
import sys
from collections.abc import Iterator
from typing import IO

import click

from worker.cli import options
from worker.cli.output import count, plain, print_json
from worker.cli.session import with_context
from worker.operations import publish as publishing
from worker.operations.context import OperatorContext


@click.command()
@click.argument("references", nargs=-1, metavar="[REF]...")
@click.option(
    "--file",
    "file",
    type=click.File("rb"),
    help="A line each: a reference, an event in JSON, or an array of them; - is stdin.",
)
@click.option("--source", help="The events' source.  [default: closer-cli, you and this machine]")
@click.option("--id", "event_id", help="The event's id, for one reference.  [default: one that no other has]")
@options.as_json
def publish(
    references: tuple[str, ...], file: IO[bytes] | None, source: str | None, event_id: str | None, as_json: bool
) -> None:
    """Tell closer that groups are complete, as the warehouse system does.

    All is checked before the first event is sent. A group that is closed already costs no call.

    \b
    Examples:
      closer publish sg_00684650028894794889609836494848
      closer publish --file groups.txt
      cut -d, -f1 groups.csv | closer publish -
    """
    if event_id and (file or len(references) != 1 or references == ("-",)):
        raise click.UsageError("--id names one event: give exactly one reference with it")
    lines = list(_lines(references, file))
    if not any(line.strip() for _, line in lines):
        raise click.UsageError("nothing to publish: give references, --file FILE, or - for standard input")

    async def work(context: OperatorContext) -> tuple[int, str]:
        types = await context.types()
        made = publishing.prepare(lines, source=source or _source(), types=types, event_id=event_id)
        return len(made.events), await publishing.send(context, made)

    published, stream = with_context(work)
    if as_json:
        print_json({"published": published, "stream": stream})
    else:
        click.echo(f"Published {count(published, 'event')} to {plain(stream)}.")


def _lines(references: tuple[str, ...], file: IO[bytes] | None) -> Iterator[tuple[str, bytes]]:
    if "-" in references:
        if len(references) > 1 or file:
            raise click.UsageError("- alone reads standard input: give no references with it")
        yield from _numbered(sys.stdin.buffer)
        return
    for reference in references:
        yield plain(reference), reference.encode("utf-8", "surrogateescape")
    if file is not None:
        yield from _numbered(file)


def _numbered(file: IO[bytes]) -> Iterator[tuple[str, bytes]]:
    for number, line in enumerate(file, start=1):
        yield f"line {number}", line


def _source() -> str:
    try:
        who = getpass.getuser()
    except (OSError, KeyError):
        who = "unknown"
    return f"closer-cli/{who}@{socket.gethostname()}"
