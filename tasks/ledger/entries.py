"""The raw entries of one of the ledger's own streams. Another program may have written any of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from tasks.ledger.scripts import Scripts, shown

_PAGE = 200

StreamEntry = tuple[str, dict[bytes, bytes]]
Order = Literal["newest", "oldest"]


class Entries:
    """Reads one stream of the ledger, and leaves the fields to the caller. Raises StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts, name: str) -> None:
        """`name`: the stream's name without the fleet's prefix."""
        self._scripts = scripts
        self._name = name

    async def _read(self, order: Order, first: str, last: str) -> AsyncIterator[StreamEntry]:
        """Yield each entry's id and fields from the id `first` to the id `last`, a page at a time.

        `-` and `+` are the least and the greatest id. A page has at most 200 entries and little more than a mebibyte.
        """
        while rows := await self._page(order, first, last, _PAGE):
            for row in rows:
                yield row
            first = f"({rows[-1][0]}"

    async def _get(self, entry_id: str) -> StreamEntry | None:
        """Return the entry with this id, or None when there is none."""
        rows = await self._page("oldest", entry_id, entry_id, 1)
        return rows[0] if rows else None

    async def _page(self, order: Order, first: str, last: str, most: int) -> list[StreamEntry]:
        rows: Any = await self._scripts.run("entries", self._name, order, first, last, most)
        return [(name.decode(), dict(zip(flat[::2], flat[1::2], strict=True))) for name, flat in rows]


def texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    """Return an entry's fields as text. Bytes that are not UTF-8 are escaped."""
    return {shown(name): shown(value) for name, value in fields.items()}


def written_ms(entry_id: str) -> int:
    """Return when an entry was written (ms since the epoch, by the store's clock); its id tells."""
    return int(entry_id.partition("-")[0])
