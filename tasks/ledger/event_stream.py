"""The streams that events come on: entries that are done with are taken off, and types that came are noted."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.ledger.scripts import Scripts


class EventStreams:
    """What closer does to streams of events. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts, group: str) -> None:
        """`group`: the name of our consumer group."""
        self._scripts = scripts
        self._group = group

    async def take_off(self, stream: str, entry_ids: Sequence[bytes]) -> int:
        """Acknowledge entries of a stream, and delete what no consumer group needs; returns how many others read it.

        Without entries it only looks for what other groups need no longer.
        """
        others: int = await self._scripts.run("take_off", self._group, *entry_ids, keys=(stream,))
        return others

    async def seen(self, types: Sequence[str]) -> None:
        """Write down that events of these types have come."""
        await self._scripts.run("seen", *types)
