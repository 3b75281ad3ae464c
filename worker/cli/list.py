"""`closer list`: lists the closures that match, or counts them by what they have in common."""

from __future__ import annotations

import click
from rich.table import Table

from tasks.closure import Closure
from tasks.history import iso
from tasks.ledger.catalogue import Cursor, GroupBy, Order, Page
from tasks.ledger.catalogue import Group as Tally
from worker.cli import options
from worker.cli.output import age, print_json_lines, say, styled, table
from worker.cli.output import show as print_page
from worker.cli.session import with_context
from worker.cli.streams import nobody_reads
from worker.operations.context import OperatorContext
from worker.operations.listing import Groups, groups, pages
from worker.operations.selection import Filter


@click.command("list")
@options.filters
@click.option("--group-by", type=click.Choice(["reason", "source", "code"]), help="Count them instead.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True, help="How many at most.")
@click.option("--cursor", metavar="CURSOR", help="Go on where the page before ended.")
@click.option("--newest-first/--oldest-first", default=True, help="Order, by when it entered its state.")
@options.as_json
def list_(
    filter_: Filter, group_by: GroupBy | None, limit: int, cursor: str | None, newest_first: bool, as_json: bool
) -> None:
    """List closures that match all the filters, newest first.

    \b
    Examples:
      closer list --state failed --group-by reason
      closer list --reason not_locked --source wms --since 2h
    """
    if group_by:
        _print_groups(with_context(lambda context: groups(context, filter_, group_by)), group_by, as_json)
        return
    order: Order = "newest" if newest_first else "oldest"
    try:
        start = Cursor.parse(cursor) if cursor else None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--cursor") from None
    with_context(lambda context: _print_pages(context, filter_, order, start, limit, as_json))


async def _print_pages(
    context: OperatorContext, filter_: Filter, order: Order, cursor: Cursor | None, limit: int, as_json: bool
) -> None:
    shown = 0
    async for page, now_ms in pages(context, filter_, limit=limit, order=order, cursor=cursor):
        _print_page(page, now_ms, as_json, header=shown == 0)
        shown += len(page.closures)
        cursor = page.next
        if nobody_reads():
            return
    if cursor:
        say(f"There are more: add --cursor {cursor}")
    elif not shown:
        say("Nothing matches.")


def _print_page(page: Page, now_ms: int, as_json: bool, *, header: bool) -> None:
    if as_json:
        print_json_lines(closure.as_json() for closure in page.closures)
    elif page.closures:
        rows = table("reference", "state", ">since", ">tries", "last reply", header=header)
        for closure in page.closures:
            _add_row(rows, closure, now_ms)
        print_page(rows)


def _add_row(rows: Table, closure: Closure, now_ms: int) -> None:
    last = closure.last_attempt
    reply = _holder(closure) or str((last and (last.status or last.code)) or "-")
    state = closure.state if closure.hold else closure.reason or closure.state
    rows.add_row(
        styled(closure.reference), styled(state, closure.state), _since(closure.entered_ms, now_ms),
        str(closure.attempts), styled(reply),
    )  # fmt: skip


def _holder(closure: Closure) -> str:
    if closure.hold is None:
        return ""
    if closure.hold.source is not None:
        return f"held by an event of {closure.hold.source}"
    return f"held by {closure.hold.by}"


def _since(at_ms: int, now_ms: int) -> str:
    """Return for how long, by the store's clock."""
    return age(max(0.0, (now_ms - at_ms) / 1000))


def _print_groups(found: Groups, by: GroupBy, as_json: bool) -> None:
    ordered = sorted(found.counts.items(), key=lambda item: -item[1].count)
    if as_json:
        print_json_lines(_group_json(by, value, group) for value, group in ordered)
        return
    if not ordered:
        say("Nothing matches.")
        return
    rows = table(by, ">count", ">oldest", "reference of the oldest")
    for value, group in ordered:
        oldest = _since(group.oldest_ms, found.now_ms)
        rows.add_row(styled(value or "(none)"), f"{group.count:,}", oldest, styled(group.oldest_reference))
    print_page(rows)


def _group_json(by: GroupBy, value: str | None, group: Tally) -> dict[str, object]:
    return {
        str(by): value,
        "count": group.count,
        "oldest_at": iso(group.oldest_ms),
        "oldest_reference": group.oldest_reference,
    }
