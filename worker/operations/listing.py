"""Lists the closures that match a filter, page by page, and counts them by what they have in common."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tasks.ledger.catalogue import Cursor, Group, GroupBy, Order, Page
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.selection import Filter

_CHUNK = 500
_LOOKS = 20  # each goes through a thousand closures


@dataclass(frozen=True, slots=True)
class Groups:
    """Closures counted by one value that they have in common.

    `counts`: by that value; None stands for the closures that have none. `now_ms`: the time by the store's clock (ms).
    """

    counts: dict[str | None, Group]
    now_ms: int


async def pages(
    context: OperatorContext, filter_: Filter, *, limit: int, order: Order, cursor: Cursor | None
) -> AsyncIterator[tuple[Page, int]]:
    """Yield up to `limit` closures, a page of at most 500 at a time, each with the store's time (ms since the epoch).

    So a long list takes no more memory than a page. `cursor`: where to begin, None for the beginning. Raises Refused
    and StoreUnavailable.
    """
    context.guard(Verb.LIST)
    now_ms = await context.now_ms()
    query, left = filter_.query(now_ms), limit
    while left:
        page = await context.ledger.catalogue.page(query, limit=min(_CHUNK, left), order=order, cursor=cursor)
        yield page, now_ms
        left -= len(page.closures)
        cursor = page.next
        if cursor is None:
            return


async def page(context: OperatorContext, filter_: Filter, *, limit: int, order: Order, cursor: Cursor | None) -> Page:
    """Return one page of up to `limit` closures, soon, whatever the ledger holds.

    It looks through about 20,000 closures at most. So a page may have fewer, or none, and a cursor to go on with.
    Raises Refused and StoreUnavailable.
    """
    context.guard(Verb.LIST)
    query = filter_.query(await context.now_ms())
    return await context.ledger.catalogue.page(query, limit=limit, order=order, cursor=cursor, looks=_LOOKS)


async def some_groups(
    context: OperatorContext, filter_: Filter, by: GroupBy, cursor: Cursor | None
) -> tuple[dict[str | None, Group], Cursor | None]:
    """Count about 20,000 closures by `by`, soon; return also where to go on, None when all were counted.

    Raises Refused and StoreUnavailable.
    """
    context.guard(Verb.LIST)
    query = filter_.query(await context.now_ms())
    return await context.ledger.catalogue.some_groups(query, by, cursor=cursor, looks=_LOOKS)


async def groups(context: OperatorContext, filter_: Filter, by: GroupBy) -> Groups:
    """Return the closures that match, counted by `by`. Raises Refused and StoreUnavailable."""
    context.guard(Verb.LIST)
    now_ms = await context.now_ms()
    return Groups(await context.ledger.catalogue.groups(filter_.query(now_ms), by), now_ms)
