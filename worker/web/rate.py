"""Limits how many requests a second one token may send."""

from __future__ import annotations

import time
from collections.abc import Callable

_MOST_TOKENS = 1_000


class RateLimit:
    """A bucket for each name. It holds what may be sent in one second, and fills evenly."""

    def __init__(self, per_second: float, clock: Callable[[], float] = time.monotonic) -> None:
        """`per_second`: 0 for no limit. `clock`: returns monotonic seconds."""
        self._per_second = per_second
        self._clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def wait_s(self, name: str) -> float:
        """Take one request of this name, and return 0; or return for how many seconds it must wait."""
        if not self._per_second:
            return 0.0
        now, most = self._clock(), max(1.0, self._per_second)
        left, then = self._left.get(name, (most, now))
        left = min(most, left + (now - then) * self._per_second)
        if left < 1:
            self._left[name] = (left, now)
            return (1 - left) / self._per_second
        if len(self._left) >= _MOST_TOKENS:
            self._left.clear()  # names are those of tokens, so there are never so many at a time
        self._left[name] = (left - 1, now)
        return 0.0
