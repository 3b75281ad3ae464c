"""How a worker's parts wait: with growing pauses while the store is away, and with a time limit when it stops."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Iterator
from typing import Any

from tasks.errors import CloserError

_log = logging.getLogger("closer.patience")
_PAUSE_FIRST_S, _PAUSE_MOST_S = 0.1, 2.0


def pauses() -> Iterator[float]:
    """Yield the pauses between two tries (s). Each is twice as long as the one before, from 0.1 up to 2 s."""
    pause_s = _PAUSE_FIRST_S
    while True:
        yield pause_s
        pause_s = min(pause_s * 2, _PAUSE_MOST_S)


async def within(seconds: float, ending: Awaitable[Any], otherwise: str) -> None:
    """Wait for `ending` for at most so many seconds. Log `otherwise` when it does not end or raises a CloserError."""
    started = time.monotonic()
    try:
        async with asyncio.timeout(seconds):
            await ending
    except (TimeoutError, CloserError) as error:
        _log.warning("%s (%.1f s; %s)", otherwise, time.monotonic() - started, error)
