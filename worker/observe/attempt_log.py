"""The log's line of each attempt: `closure.attempted`, with everything that the closure's history keeps of it."""

from __future__ import annotations

import logging

from tasks.attempted import Attempted, Written

_log = logging.getLogger("closer.attempt")


def log_attempt(attempted: Attempted) -> None:
    """Log the attempt; as a warning when its result was not written: then the group is attempted again."""
    level = logging.INFO if attempted.written is Written.SETTLED else logging.WARNING
    if _log.isEnabledFor(level):
        fields = {"reference": attempted.claim.reference, **attempted.attempt.as_json(), "written": attempted.written}
        _log.log(level, "closure.attempted", extra={"fields": fields})
