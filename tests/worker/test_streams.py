"""What is printed in a worker: each line becomes a log line."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from worker.observe.stdio import LogStream


def test_lines(caplog: pytest.LogCaptureFixture) -> None:
    """A line is logged when it is complete, without colours; empty ones are not."""
    caplog.set_level(logging.INFO)
    stream = LogStream(logging.INFO, None)
    print("one", "two", file=stream)
    print("\x1b[1;31mred\x1b[0m\n\n  three", end="", file=stream)
    stream.flush()
    assert [record.getMessage() for record in caplog.records] == ["one two", "red"]
    print(" and more ", file=stream)
    assert caplog.records[-1].getMessage() == "  three and more"
    assert {record.name for record in caplog.records} == {"closer.output"}


def test_what_is_behind_it() -> None:
    """It has the descriptor of the stream that it stands in for, and none when that was closed."""
    assert LogStream(logging.INFO, sys.__stderr__).fileno() == 2
    with pytest.raises(io.UnsupportedOperation):
        LogStream(logging.INFO, None).fileno()
    assert not LogStream(logging.INFO, None).isatty()
