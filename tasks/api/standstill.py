"""Notices when this process stood still: it was stopped, its machine was suspended, or its loop was blocked.

Calls that were in flight then look like time-outs or cut connections, and say nothing about the API.
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
    """Return seconds on a clock that nobody sets. On Linux it counts also while the machine is suspended."""
    return time.clock_gettime(_CLOCK)


_CLOCK: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


class Standstill:
    """Looks at the clock twice a second, on the loop.

    If a look comes more than a second late, the process stood still until then.
    """

    def __init__(self, clock: Callable[[], float] = now_s) -> None:
        """`clock`: a clock in seconds that is never set back."""
        self._clock = clock
        self._looked_s = self._ended_s = self._lasted_s = 0.0
        self._next: asyncio.TimerHandle | None = None

    def now_s(self) -> float:
        """Return the present moment on its clock (s), for `since`."""
        return self._clock()

    def watch(self) -> None:
        """Begin to look, if that is not done already. It needs a running loop."""
        if self._next is None:
            self._looked_s = self._clock()
            self._next = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def stop(self) -> None:
        """Stop looking. `since` then returns 0."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def since(self, moment_s: float) -> float:
        """Return the length (s) of the last standstill if it ended at `moment_s` or later, else 0."""
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
                "calls that were in flight are tried again, and do not count as an outage",
                late_s,
            )
        self._looked_s = looked_s

    def _tick(self) -> None:
        self._look()
        self._next = asyncio.get_running_loop().call_later(_TICK_S, self._tick)
