"""Logs: one line an event, whatever it holds."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.observe.logs import JsonFormatter, RateLimitFilter, TextFormatter, configure, finish, lost

NASTY = [
    "a\nb",
    "a\r\nb",
    "\x1b[2J",
    "\u2028x",
    "\u2029",
    "\x85",
    "\u202eevil",
    "\x00",
    "\ud800",
    "a b",
    'a"b',
    "a=b",
    "ü",
]


def record(message: str, *args: Any, **fields: Any) -> logging.LogRecord:
    """A record with fields."""
    made = logging.LogRecord("closer.test", logging.WARNING, "f", 1, message, args, None)
    made.created, made.msecs = 1_700_000_000.007, 7.0
    made.fields = fields
    return made


def test_text() -> None:
    """A line is time, level, logger, message and the fields that say something; plain words stand unquoted."""
    line = TextFormatter().format(
        record("group %s", "sg_1", ref="sg_1-2.x", none=None, n=5, text="two words", empty="")
    )
    assert line == '2023-11-14T22:13:20.007Z WARNING test group sg_1 ref=sg_1-2.x n=5 text="two words" empty=""'


def test_json() -> None:
    """A line is one JSON object with the fields among its members."""
    line = JsonFormatter().format(record("group %s", "sg_1", n=5, odd=object))
    assert json.loads(line) == {
        "at": "2023-11-14T22:13:20.007Z", "level": "warning", "logger": "closer.test", "event": "group sg_1", "n": 5,
        "odd": "<class 'object'>",
    }  # fmt: skip


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
@pytest.mark.parametrize("nasty", NASTY)
def test_nothing_forges_a_line(formatter: logging.Formatter, nasty: str) -> None:
    """No line break of any kind, no terminal code and nothing invisible gets through, in message or field."""
    for made in (record(nasty), record("%s", nasty), record("x", value=nasty)):
        line = formatter.format(made)
        assert line.isprintable()
        assert len(line.splitlines()) == 1


@given(st.text(), st.text())
def test_any_text(message: str, value: str) -> None:
    """Any text at all is one printable line; JSON gives it back unchanged."""
    made = record("%s", message, value=value)
    assert TextFormatter().format(made).isprintable()
    line = JsonFormatter().format(made)
    assert line.isascii()
    assert line.isprintable()
    read = json.loads(line)
    assert (read["event"], read["value"]) == (message, value)


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_errors(formatter: logging.Formatter) -> None:
    """A traceback is part of its line."""
    made = record("broke")
    try:
        int("first\nsecond")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = formatter.format(made)
    assert "ValueError: invalid literal" in line
    assert line.isprintable()


@pytest.fixture
def _logging() -> Iterator[None]:
    """The loggers as they were, afterwards."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], root.level = before
    logging.captureWarnings(False)


@pytest.mark.usefixtures("_logging")
def test_configure(capfd: pytest.CaptureFixture[str]) -> None:
    """All logs go to stderr, once, in the form asked for; what is less grave than asked is left out."""
    configure("warning", "text")
    configure("warning", "json")
    logging.getLogger("closer.x").info("no")
    logging.getLogger("httpx").info("no")
    logging.getLogger("closer.x").warning("yes", extra={"fields": {"a": 1}})
    finish()
    out, err = capfd.readouterr()
    assert out == ""
    [line] = err.splitlines()
    assert json.loads(line)["event"] == "yes"
    assert lost() == 0


def test_brief() -> None:
    """What Celery repeats while its broker is away is said once a minute, in one line; warnings of its own never."""
    now_s = 0.0
    limited = RateLimitFilter(lambda: now_s)

    def passes(text: str, logger: str = "celery.worker.consumer.consumer", after_s: float = 0.0) -> bool:
        nonlocal now_s
        now_s = after_s
        made = record(text)
        made.name = logger
        made.exc_info = (OSError, OSError("refused"), None)
        passed = limited.filter(made)
        own = logger == "closer.x"
        assert made.getMessage() == (text if own else f"{text} (refused)")
        return passed

    said = [passes("lost"), passes("lost", after_s=59), passes("other"), passes("lost", after_s=61)]
    assert said == [True, False, True, True]
    assert passes("lost", "closer.x")
    assert passes("lost", "closer.x")
    for text, expected in (("CPendingDeprecationWarning: x", False), ("ResourceWarning: x", True)):
        made = record(text)
        made.name = "py.warnings"
        assert limited.filter(made) == expected
