"""Logs why the API cannot be reached, in the words of `closer check`, so that a worker's log says what to do."""

from __future__ import annotations

import logging
from dataclasses import replace

from tasks.api.reply import Failure, NoReply
from tasks.attempted import Attempted
from tasks.outage_log import Seldom
from worker.operations.reach import Place, unreachable

_log = logging.getLogger("closer.reach")
_SAY_AGAIN_S = 600.0


class ReachLog:
    """Is told of each attempt, and logs what keeps its calls from the API.

    What has the same remedy is logged once in ten minutes: an outage fails many calls.
    """

    def __init__(self, place: Place) -> None:
        """`place`: the server that calls go to first."""
        self._place = replace(place, port=0)  # so that nothing is asked of it, because an observer must not wait
        self._seldom: dict[str | None, Seldom] = {}

    def __call__(self, attempted: Attempted) -> None:
        """Log each new cause for which no connection was made."""
        for call in attempted.calls:
            if isinstance(call.reply, NoReply) and call.reply.failure is Failure.CONNECT:
                self._say(call.reply)

    def _say(self, reply: NoReply) -> None:
        line = unreachable(self._place, reply.detail)
        if self._seldom.setdefault(line.remedy, Seldom(_SAY_AGAIN_S)).due() is not None:
            _log.error("the API cannot be called, and closures wait: %s. To do: %s", line.message, line.remedy)
