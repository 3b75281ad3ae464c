"""Checks before a worker touches the ledger that no other fleet reads its stream and no older ledger waits."""

from __future__ import annotations

import logging

from tasks.errors import ConfigurationError
from tasks.ledger.fleets import other_fleets, remedy, shared_stream
from tasks.ledger.ledger import Ledger
from tasks.ledger.old_move import move
from tasks.ledger.old_prefix import OldState
from tasks.outage_log import Seldom

_log = logging.getLogger("closer.admission")
_TELL_AGAIN_S = 600.0


class Admission:
    """Decides whether this worker may begin. `moving`: whether it is moving the ledger of an older release now."""

    def __init__(self, ledger: Ledger, stream: str) -> None:
        """`stream`: the stream that this worker takes events from."""
        self._ledger = ledger
        self._stream = stream
        self.moving = False
        self._told = Seldom(_TELL_AGAIN_S)

    async def look(self) -> None:
        """Log an error, at most every ten minutes, while an older release works or keeps a ledger beside this fleet.

        Raises StoreUnavailable and LedgerBroken.
        """
        older = await self._ledger.older()
        if not older.nothing and self._told.due() is not None:
            _log.error("%s; %s", older.problem, older.remedy)

    async def ask(self) -> None:
        """Return when this worker may begin. It first moves the ledger of an older release, if there is one.

        A crash during the move is safe, see `tasks.ledger.old_move`. Raises ConfigurationError when this worker must
        not begin. Raises StoreUnavailable and LedgerBroken.
        """
        await self._refuse_other_fleets()
        await self._move_old_ledger()

    async def _refuse_other_fleets(self) -> None:
        for group in await other_fleets(self._ledger.redis, self._stream, self._ledger.namespace):
            raise ConfigurationError(f"{shared_stream(self._stream, group)}: {remedy(self._stream, group)}")

    async def _move_old_ledger(self) -> None:
        if (await self._ledger.older()).state is OldState.NOTHING:
            return
        self.moving = True
        _log.info("the ledger of an older release is being moved to the keys %s*", self._ledger.prefix)
        renamed = await move(self._ledger.redis)
        self.moving = False
        _log.info("the ledger of an older release was moved to the keys %s* (%d records)", self._ledger.prefix, renamed)
