"""A log file: lines are appended, and it may be moved away while it is written to."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support import until
from worker.observe.log_file import LogFileWriter


def written(path: Path, text: str) -> None:
    """Returns when the file holds exactly this."""
    until(lambda: path.exists() and path.read_text() == text, f"{text!r} in {path}")


def test_a_file_that_is_moved_away(tmp_path: Path) -> None:
    """What was there stays; after it is moved the next line is in the new file; without its folder none is lost."""
    path = tmp_path / "folder" / "worker.log"
    path.parent.mkdir()
    path.write_text("before\n")
    writer = LogFileWriter(path, most_held=1000)
    logger = logging.Logger("test")  # noqa: LOG001
    logger.addHandler(writer)
    logger.warning("one")
    written(path, "before\none\n")
    path.rename(tmp_path / "one")
    logger.warning("two")
    written(path, "two\n")
    path.rename(tmp_path / "two")
    path.write_text("by logrotate\n")  # it may make the new file itself
    logger.warning("another")
    written(path, "by logrotate\nanother\n")
    path.parent.rename(tmp_path / "elsewhere")
    logger.warning("three")
    written(tmp_path / "elsewhere" / "worker.log", "by logrotate\nanother\nthree\n")
    assert writer.lost == 0


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    """A file that cannot be opened is told at once."""
    with pytest.raises(FileNotFoundError):
        LogFileWriter(tmp_path / "missing" / "worker.log", most_held=1000)
