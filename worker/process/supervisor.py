"""Runs the background tasks of a worker by name, and ends each in its own way."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from enum import Enum
from typing import Any, NamedTuple


class End(Enum):
    """How a background task ends when the process stops."""

    CANCELLED = "it holds nothing, and is cancelled at once"
    FINISHES = "it holds what nobody else has, and is waited for until its step has ended"
    LAST = "the others need it until they have ended; then it is cancelled"


class Part(NamedTuple):
    """Work that goes on for as long as the process. `name` must be unique among the parts of a supervisor."""

    name: str
    work: Coroutine[Any, Any, None]
    end: End


class Supervisor:
    """Runs parts as tasks. It knows them by name and not by position, so a part may be added anywhere."""

    def __init__(self, parts: Iterable[Part]) -> None:
        """Start all parts in the running loop. Raises ValueError when two have the same name."""
        self._parts: dict[str, tuple[asyncio.Task[None], End]] = {}
        for part in parts:
            if part.name in self._parts:
                part.work.close()
                raise ValueError(f"two parts are called {part.name}")
            self._parts[part.name] = (asyncio.create_task(part.work, name=part.name), part.end)

    async def first_to_end(self, stop: asyncio.Event) -> asyncio.Task[None] | None:
        """Wait until a part ends, and return its task: none may end on its own. None when `stop` is set first."""
        told = asyncio.create_task(stop.wait())
        tasks = [task for task, _ in self._parts.values()]
        ended, _ = await asyncio.wait([*tasks, told], return_when=asyncio.FIRST_COMPLETED)
        if told in ended:
            return None
        told.cancel()
        return next(task for task in tasks if task in ended)

    def cancel(self, end: End) -> None:
        """Cancel the parts that end in this way. Returns at once."""
        for task in self._ending(end):
            task.cancel()

    async def finished(self) -> None:
        """Wait for the parts that finish their step. The caller sets the time-out."""
        if tasks := self._ending(End.FINISHES):
            await asyncio.wait(tasks)

    def _ending(self, end: End) -> list[asyncio.Task[None]]:
        return [task for task, how in self._parts.values() if how is end]
