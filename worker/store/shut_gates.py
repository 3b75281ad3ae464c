"""Shuts the gates of all fleets in a store that has just been mended."""

from __future__ import annotations

import re
from pathlib import Path

from redis.asyncio import Redis

from tasks.ledger.gate import GateControl
from tasks.ledger.old_prefix import OLD_PREFIX, is_sealed
from tasks.ledger.scripts import Scripts
from tasks.namespace import Namespace

BY = "closer"
_TIMEOUT_S, _DEADLINE_S = 30.0, 86_400.0
_PREFIX = re.compile(rf"(\{{[A-Za-z0-9_.-]+\}}:|{OLD_PREFIX})(?:gate|policy)\Z")


async def shut_gates(socket: Path, ours: Namespace, why: str) -> None:
    """Pause every fleet whose ledger is in the store on this socket, and this process's own, by closer itself; audited.

    The ledger of an older release counts as well: the worker that moves it takes the pause over. What a move has left
    is not a ledger. Raises StoreUnavailable and LedgerBroken, and redis-py's errors.
    """
    async with Redis(unix_socket_path=str(socket), socket_timeout=_TIMEOUT_S) as redis:
        keys = [key.decode("latin-1") async for key in redis.scan_iter(match="*:[gp][ao]*", count=1000)]
        found = {match[1] for match in map(_PREFIX.match, keys) if match}
        if await is_sealed(redis):
            found.discard(OLD_PREFIX)
        for prefix in sorted(found or {ours.prefix}):
            await GateControl(Scripts(redis, prefix, _DEADLINE_S, None)).pause(by=BY, why=why, door=BY)
