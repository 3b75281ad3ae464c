"""Whether this process stood still: it was stopped, its machine was suspended, or something blocked its loop.

What its calls then look like (time-outs, connections that the other side gave up) says nothing about the API.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

_log = logging.getLogger("closer.standstill")
_TICK_S = 0.5
_LONG_S = 1.0


def now_s() -> float:
    """Seconds on a clock that nobody sets; on Linux it goes on while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Standstill:
    """Looks at the clock twice a second, on the loop; a look that is more than a second late ends a standstill."""

    def __init__(self, clock: Callable[[], float] = now_s) -> None:
        self._clock = clock
        self._looked_s = self._ended_s = self._lasted_s = 0.0
        self._next: asyncio.TimerHandle | None = None

    def now_s(self) -> float:
        """The moment, on its clock."""
        return self._clock()

    def watch(self) -> None:
        """Begin to look; needs a running loop."""
        if self._next is None:
            self._looked_s = self._clock()
            self._next = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def since(self, moment_s: float) -> float:
        """How long the last standstill was (s) that ended at this moment of the clock or later; 0: there was none."""
        if self._next is None:
            return 0.0
        self._look()
        return self._lasted_s if self._ended_s >= moment_s else 0.0

    def _look(self) -> None:
        looked_s = self._clock()
        if (late_s := looked_s - self._looked_s - _TICK_S) > _LONG_S:
            self._ended_s, self._lasted_s = looked_s, late_s
            _log.warning(
                "this process stood still for %.1f s: it was stopped, or its machine was suspended or overloaded; "
                "calls that were in flight are tried again, and are no outage of the API",
                late_s,
            )
        self._looked_s = looked_s

    def _tick(self) -> None:
        self._look()
        self._next = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
