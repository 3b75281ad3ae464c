"""`closer status`, `closer list` and `closer show`."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Iterator

import click
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table

from tasks.catalogue import Cursor, GroupBy, Order, Page, Query
from tasks.catalogue import Group as Tally
from tasks.closure import Closure, iso
from tasks.errors import CloserError, StoreUnavailable
from tasks.event import is_reference
from worker.cli import options
from worker.cli.output import age, console, print_json, print_json_lines, say, styled, table
from worker.cli.output import show as print_page
from worker.cli.screens import status_screen, story_lines
from worker.cli.session import with_context
from worker.operations import status as statuses
from worker.operations.context import OperatorContext
from worker.settings import load

_REFRESH_S = 1.0
_CHUNK = 500


@click.command()
@click.option("--watch", is_flag=True, help="Refresh every second, until Ctrl-C.")
@options.as_json
def status(watch: bool, as_json: bool) -> None:
    """Everything at a glance: the gate, closures, failures, events, workers.

    \b
    Example:
      closer status --watch
    """
    if watch:
        _watch(as_json)
        return
    shown = with_context(statuses.status)
    if as_json:
        print_json(shown.as_json())
    else:
        print_page(status_screen(shown))


def _watch(as_json: bool) -> None:
    try:
        with_context(_repeat_json if as_json or not sys.stdout.isatty() else _refresh)
    except KeyboardInterrupt:
        say("")


async def _repeat_json(context: OperatorContext) -> None:
    while True:  # until Ctrl-C: that is what was asked for
        print_json((await statuses.status(context)).as_json())
        await asyncio.sleep(_REFRESH_S)


async def _refresh(context: OperatorContext) -> None:
    with Live(console=console(), auto_refresh=False) as live:
        while True:  # until Ctrl-C
            live.update(await _screen(context), refresh=True)
            await asyncio.sleep(_REFRESH_S)


async def _screen(context: OperatorContext) -> RenderableType:
    """The status, or what keeps it from being known: a store that is away for a while must not end the watch."""
    try:
        return Group(status_screen(await statuses.status(context)), "", styled("Ctrl-C ends this.", "dim"))
    except StoreUnavailable as error:
        return styled(f"{str(error).partition(chr(10))[0]}; asking again …", "wrong")


@click.command("list")
@options.filters
@click.option("--group-by", type=click.Choice(["reason", "source", "code"]), help="Count them instead.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most.")
@click.option("--cursor", metavar="CURSOR", help="Go on where the page before ended.")
@click.option("--newest-first/--oldest-first", default=True, help="Order, by when it entered its state.")
@options.as_json
def list_(
    query: Query, group_by: GroupBy | None, limit: int, cursor: str | None, newest_first: bool, as_json: bool
) -> None:
    """Closures that match all the filters, newest first.

    \b
    Examples:
      closer list --state failed --group-by reason
      closer list --reason not_locked --source wms --since 2h
    """
    if group_by:
        _print_groups(with_context(lambda context: context.catalogue.groups(query, group_by)), group_by, as_json)
        return
    order: Order = "newest" if newest_first else "oldest"
    try:
        start = Cursor.parse(cursor) if cursor else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cursor") from None
    with_context(lambda context: _print_pages(context, query, order, start, limit, as_json))


async def _print_pages(
    context: OperatorContext, query: Query, order: Order, cursor: Cursor | None, limit: int, as_json: bool
) -> None:
    """In chunks, so that a long list needs no more memory than a short one."""
    shown = 0
    while shown < limit:
        page = await context.catalogue.page(query, limit=min(_CHUNK, limit - shown), order=order, cursor=cursor)
        _print_page(page, as_json, header=shown == 0)
        shown += len(page.closures)
        cursor = page.next
        if cursor is None:
            break
    if cursor:
        say(f"There are more: add --cursor {cursor}")
    elif not shown:
        say("Nothing matches.")


def _print_page(page: Page, as_json: bool, *, header: bool) -> None:
    if as_json:
        print_json_lines(closure.as_json() for closure in page.closures)
    elif page.closures:
        rows = table("reference", "state", ">since", ">tries", "last reply", header=header)
        for closure in page.closures:
            _add_row(rows, closure)
        print_page(rows)


def _add_row(rows: Table, closure: Closure) -> None:
    last = closure.last_attempt
    reply = str((last and (last.status or last.code)) or "-")
    since = age(max(0.0, time.time() - closure.entered_ms / 1000))
    state = closure.reason or closure.state
    rows.add_row(
        styled(closure.reference), styled(state, closure.state), since, str(closure.attempts), styled(reply)
    )  # fmt: skip


def _print_groups(groups: dict[str | None, Tally], by: GroupBy, as_json: bool) -> None:
    ordered = sorted(groups.items(), key=lambda item: -item[1].count)
    if as_json:
        print_json_lines(_group_json(by, value, group) for value, group in ordered)
        return
    if not ordered:
        say("Nothing matches.")
        return
    rows = table(by, ">count", ">oldest", "reference of the oldest")
    for value, group in ordered:
        oldest = age(max(0.0, time.time() - group.oldest_ms / 1000))
        rows.add_row(styled(value or "(none)"), f"{group.count:,}", oldest, styled(group.oldest_reference))
    print_page(rows)


def _group_json(by: GroupBy, value: str | None, group: Tally) -> dict[str, object]:
    return {
        str(by): value,
        "count": group.count,
        "oldest_at": iso(group.oldest_ms),
        "oldest_reference": group.oldest_reference,
    }


@click.command()
@click.argument("reference", metavar="REF")
@click.option("--curl", is_flag=True, help="Print the close call as a curl command, with the key left out.")
@options.as_json
def show(reference: str, curl: bool, as_json: bool) -> None:
    """One closure's story: what happened, what it means, what to do.

    \b
    Example:
      closer show sg_00684650028894794889609836494848
    """
    if not is_reference(reference):
        raise click.UsageError("that is no reference: 1 to 128 characters of A-Z a-z 0-9 _ -")
    if curl:
        click.echo(statuses.curl(load(), reference))
        return
    story = with_context(lambda context: statuses.story(context, reference))
    if story is None:
        raise CloserError(f"no closure of {reference} is known; was its event published? see `closer rejected list`")
    if as_json:
        print_json(story.as_json())
    else:
        _print_lines(story_lines(story))


def _print_lines(lines: Iterator[RenderableType]) -> None:
    for line in lines:
        print_page(line)
