"""Watches which types of events come. It logs each type that is not accepted, and tells the store of all types."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Callable, Sequence

from tasks.events.batch import Element
from tasks.events.event import Rejection
from worker.intake.fleet_types import FleetTypes

_log = logging.getLogger("closer.intake")
_TELL_AGAIN_S = 60.0
_TYPES_LIMIT = 1000


class TypeWatch:
    """Remembers which types have come, up to a thousand. Further types are ignored, so that memory does not grow."""

    def __init__(self, types: FleetTypes, clock: Callable[[], float] = time.monotonic) -> None:
        """`types`: those that the fleet goes by. `clock`: returns monotonic seconds."""
        self._types = types
        self._clock = clock
        self._told_s: dict[str, float] = {}

    def look(self, elements: Sequence[Element]) -> list[str]:
        """Return the types of these elements that the store was not told of within the last minute."""
        now_s = self._clock()
        found = dict.fromkeys(filter(None, map(_type_of, elements)))
        news = [one for one in found if now_s - self._told_s.get(one, float("-inf")) >= _TELL_AGAIN_S]
        return [one for one in news if self._remember(one, now_s)]

    def _remember(self, event_type: str, now_s: float) -> bool:
        new = event_type not in self._told_s
        if new and len(self._told_s) >= _TYPES_LIMIT:
            return False
        self._told_s[event_type] = now_s
        if new and not self._types.now.takes(event_type):
            self._say(event_type)
        return True

    def _say(self, event_type: str) -> None:
        _log.warning(
            "events of type %s are not taken for complete: they are put aside, and their groups are not closed. "
            "If this type means complete, set %s (it must name every type that does), restart the workers, then: "
            "closer rejected replay --accept-type %s",
            event_type,
            self._types.now.setting(event_type, self._told_s),
            shlex.quote(event_type),
        )


def _type_of(element: Element) -> str | None:
    event = element.event
    return event.refused_type if isinstance(event, Rejection) else event.type
