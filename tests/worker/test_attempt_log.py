"""The log's line of an attempt: what was written, and what was not."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tasks.attempted import Attempted, Written
from tasks.closure import Outcome, State
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.values import Claim, Settlement
from tasks.retry import Done
from tasks.verdict import Closed
from worker.observe.attempt_log import log_attempt


def attempted(written: Written) -> Attempted:
    """An attempt on sg_1."""
    claim = Claim("sg_1", 1, 0, 0, remaining_s=9.0, wait_s=0.0, at_ms=1_000)
    attempt = Attempt(1_000, "w1", status=200, verdict="closed", decision="closed")
    settlement = Settlement("sg_1", 1, State.CLOSED, pack_attempt(attempt), Outcome.CLOSED)
    return Attempted(claim, (), Closed(Outcome.CLOSED), Done(Outcome.CLOSED), 0.1, attempt, settlement, written)


@pytest.mark.parametrize(
    ("written", "level"),
    [(Written.SETTLED, logging.INFO), (Written.LEASE_LOST, logging.WARNING), (Written.DROPPED, logging.WARNING)],
)
def test_a_line(caplog: pytest.LogCaptureFixture, written: Written, level: int) -> None:
    """It has the reference, what the history keeps and whether it was written; it is a warning where it was not."""
    caplog.set_level(logging.INFO)
    log_attempt(attempted(written))
    [record] = caplog.records
    fields: dict[str, Any] = record.fields  # type: ignore[attr-defined]
    assert (record.levelno, record.getMessage()) == (level, "closure.attempted")
    assert (fields["reference"], fields["status"], fields["written"]) == ("sg_1", 200, written.value)


def test_a_quiet_log(caplog: pytest.LogCaptureFixture) -> None:
    """With CLOSER_LOG_LEVEL=warning only results that were not written make a line."""
    caplog.set_level(logging.WARNING)
    log_attempt(attempted(Written.SETTLED))
    assert caplog.records == []
