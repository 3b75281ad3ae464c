"""How a long action goes on: in whose name, in chunks, at what pace, and until when."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class BulkOptions:
    """`rate`: most in a second, 0: no limit. `stop`: looked at between chunks. `progress`: told how many are done."""

    by: str
    why: str
    rate: float = 0.0
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    progress: Callable[[int], None] = lambda _: None

    async def chunks(self, items: Sequence[T], most: int) -> AsyncIterator[Sequence[T]]:
        """The items in chunks of at most `most`, no sooner than the rate allows; ends early when told to stop."""
        size = max(1, min(most, int(self.rate))) if self.rate else most
        due = time.monotonic()
        for start in range(0, len(items), size):
            if await self._stopped(due - time.monotonic()):
                return
            chunk = items[start : start + size]
            yield chunk
            self.progress(len(chunk))
            due += len(chunk) / self.rate if self.rate else 0.0

    async def _stopped(self, wait_s: float) -> bool:
        """Wait that long, or until told to stop; whether it was."""
        if wait_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self.stop.wait()
        return self.stop.is_set()
