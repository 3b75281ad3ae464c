"""What a worker makes sure of before it touches the ledger: its stream is its fleet's, and no older ledger waits."""

from __future__ import annotations

import logging

from tasks.errors import ConfigurationError
from tasks.ledger.fleets import other_fleets, remedy, shared_stream
from tasks.ledger.ledger import Ledger
from tasks.ledger.old_prefix import OldLedger

_log = logging.getLogger("closer.parts")


class Admission:
    """Asks whether this worker may begin. `moving`: it has begun to move the ledger of an older release."""

    def __init__(self, ledger: Ledger, stream: str) -> None:
        """`stream`: the one that this worker takes events from."""
        self._ledger = ledger
        self._stream = stream
        self.moving = False

    async def ask(self) -> None:
        """Raises ConfigurationError when this worker must not begin, StoreUnavailable and LedgerBroken."""
        await self._refuse_other_fleets()
        await self._move_old_ledger()

    async def _refuse_other_fleets(self) -> None:
        for group in await other_fleets(self._ledger.redis, self._stream, self._ledger.namespace):
            raise ConfigurationError(f"{shared_stream(self._stream, group)}: {remedy(self._stream, group)}")

    async def _move_old_ledger(self) -> None:
        old = OldLedger(self._ledger.redis)
        if not self._ledger.namespace.is_default or not await old.exists():
            return
        self.moving = True
        _log.info("the ledger of an older release is being moved to the keys %s*", self._ledger.prefix)
        renamed = await old.move()
        self.moving = False
        _log.info("the ledger of an older release was moved to the keys %s* (%d records)", self._ledger.prefix, renamed)
