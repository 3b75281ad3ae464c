"""Finds the items that make a script fail, so that one of them does not block the others."""

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
    """Call `do` with all items. When it raises LedgerBroken, try halves, down to single items.

    `fails` is called with each item that breaks alone, and its error. Both are called in the items' order, so a caller
    may count how far it has come. Halves are safe to try, because a script that fails has written nothing.

    Raises LedgerBroken when `do` fails without any item, because then the ledger itself is broken. Raises
    StoreUnavailable when `do` does; the items after that point are not done.
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
