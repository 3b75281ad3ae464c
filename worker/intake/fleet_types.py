"""Knows the types of events that the fleet goes by: those of the worker that started last."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from tasks.errors import LedgerBroken
from tasks.events.event_type import EventTypes
from tasks.ledger.policy import FleetPolicies

_LOOK_S = 3.0


class FleetTypes:
    """The fleet's types, as this process has last read them from the ledger; `now` are those that count."""

    def __init__(self, policies: FleetPolicies, own: EventTypes, clock: Callable[[], float] = time.monotonic) -> None:
        """`own`: this process's, which count while the fleet has none. `clock`: returns monotonic seconds."""
        self.now = own
        self._policies = policies
        self._clock = clock
        self._looked_s = float("-inf")

    async def look(self) -> None:
        """Read the fleet's types, at most every three seconds. Raises StoreUnavailable."""
        if self._clock() - self._looked_s < _LOOK_S:
            return
        with suppress(LedgerBroken):  # another program has taken the key: the types stay as they are
            policy = await self._policies.read()
            self.now = policy.types if policy else self.now
        self._looked_s = self._clock()
