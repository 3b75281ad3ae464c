"""Finds what a script fails for among the items it was given, so that one of them does not hold up the others."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from tasks.errors import LedgerBroken

T = TypeVar("T")


async def sift(
    items: Sequence[T],
    do: Callable[[Sequence[T]], Awaitable[None]],
    fails: Callable[[T, LedgerBroken], Awaitable[None]],
) -> None:
    """Do it to all items at once; where that breaks, in halves, and `fails` is told of each item that breaks alone.

    `do` and `fails` are called in the items' order, so a caller may count how far it has come. When `do` breaks without
    any item, no item is the cause: the ledger itself is broken, and that is raised. Raises StoreUnavailable, too.
    """
    try:
        await do(items)
    except LedgerBroken as error:
        await do(())
        await _sift_halves(items, do, fails, error)


async def _sift_halves(
    items: Sequence[T],
    do: Callable[[Sequence[T]], Awaitable[None]],
    fails: Callable[[T, LedgerBroken], Awaitable[None]],
    error: LedgerBroken,
) -> None:
    if len(items) == 1:
        await fails(items[0], error)
        return
    middle = len(items) // 2
    for half in (items[:middle], items[middle:]):
        try:
            await do(half)
        except LedgerBroken as again:
            await _sift_halves(half, do, fails, again)
