"""What is wrong is said once, and once that it is over."""

from __future__ import annotations

import pytest

from tasks.outage_log import OutageLog


def test_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """The same error is logged once, another one again, the end once; and the same error later is said anew."""
    outages = OutageLog("intake")
    outages.ends()
    for text in ("away", "away", "full", "full"):
        outages.begins(ValueError(text))
        assert outages.text == text
    outages.ends()
    outages.ends()
    assert outages.text == ""
    outages.begins(ValueError("full"))
    lines = [record.getMessage() for record in caplog.records]
    assert [line.partition(",")[0] for line in lines] == [
        "intake waits: away", "intake waits: full", "intake goes on", "intake waits: full",
    ]  # fmt: skip
