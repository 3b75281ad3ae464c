"""Logs one line for each attempt: `closure.attempted`, with all fields that the closure's history keeps.

Before it there may be `closure.unwritten`, when the store does not take the result.
"""

from __future__ import annotations

import logging

from tasks.attempted import Attempted, Written

_log = logging.getLogger("closer.attempt")


def log_attempt(attempted: Attempted) -> None:
    """Log the attempt. It is a warning when the result was not written, because the group is then attempted again."""
    level = logging.INFO if attempted.written is Written.SETTLED else logging.WARNING
    if _log.isEnabledFor(level):
        fields = {"reference": attempted.claim.reference, **attempted.attempt.as_json(), "written": attempted.written}
        _log.log(level, "closure.attempted", extra={"fields": fields})


def log_unwritten(attempted: Attempted) -> None:
    """Log an attempt whose result waits for the store: what the API said is then known, even if this process dies."""
    fields = {"reference": attempted.claim.reference, **attempted.attempt.as_json()}
    _log.warning("closure.unwritten", extra={"fields": fields})
