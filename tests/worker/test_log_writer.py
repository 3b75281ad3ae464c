"""The writer of log lines: whoever logs goes on, whatever the reader does, and what was lost is counted and told."""

from __future__ import annotations

import fcntl
import logging
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from types import FrameType

import pytest

from tests.support import until
from worker.observe.log_writer import LogWriter

A_PAGE = 4096
LIMIT_S = 30.0
NOTICE = re.compile(r"(\d+) log lines were lost here")


def logger_of(writer: LogWriter) -> logging.Logger:
    """A logger that writes there, and that nobody else has."""
    logger = logging.Logger("test")  # noqa: LOG001
    logger.addHandler(writer)
    return logger


class Reader:
    """The other end of a pipe that holds a page, and a logger that writes to it."""

    def __init__(self) -> None:
        self.fd, self.end = os.pipe()
        fcntl.fcntl(self.end, fcntl.F_SETPIPE_SZ, A_PAGE)
        self.writer = LogWriter(self.end, most_held=10_000)
        self.logger = logger_of(self.writer)
        self.text = ""
        self._reading = Thread(target=self._read, daemon=True)

    def log(self, *numbers: int, level: int = logging.INFO) -> None:
        """A line for each number."""
        for number in numbers:
            self.logger.log(level, "line %d", number)

    def begin(self) -> None:
        """Read from now on."""
        self._reading.start()

    def lines(self, last: str) -> list[str]:
        """All lines, when the one that is given has been read."""
        until(lambda: f"{last}\n" in self.text, last)
        return self.text.splitlines()

    def close(self) -> None:
        """Both ends, at the end of a test; a writer that waits is freed by that."""
        os.close(self.end)
        if self._reading.ident is None:
            self._reading.start()
        self.writer.finish(LIMIT_S)
        self._reading.join(LIMIT_S)
        os.close(self.fd)

    def _read(self) -> None:
        while data := os.read(self.fd, A_PAGE):
            self.text += data.decode()


@pytest.fixture
def reader() -> Iterator[Reader]:
    """A reader that has not begun to read."""
    made = Reader()
    yield made
    made.close()


def test_every_line_is_written(reader: Reader) -> None:
    """Lines are written in the order in which they were logged, far more than the pipe holds."""
    reader.begin()
    reader.log(*range(500))
    assert reader.lines("line 499") == [f"line {number}" for number in range(500)]
    assert reader.writer.lost == 0


def test_the_end_waits_for_what_is_held(reader: Reader) -> None:
    """When the process ends, what is held is written first."""
    reader.log(1, 2)
    reader.writer.finish(LIMIT_S)
    assert os.read(reader.fd, A_PAGE) == b"line 1\nline 2\n"


def test_a_reader_that_stalls(reader: Reader) -> None:
    """Nobody waits for it; when it reads again it is told, at each place, how many lines are missing there."""
    reader.log(*range(10_000))
    assert reader.writer.lost > 0
    reader.begin()
    until(lambda: NOTICE.search(reader.text), "the notice")
    reader.writer.finish(LIMIT_S)
    reader.log(10_000)
    expected = lost = 0
    for line in reader.lines("line 10000"):
        if told := NOTICE.match(line):
            lost += int(told[1])
            expected += int(told[1])
        else:
            assert line == f"line {expected}"
            expected += 1
    assert expected == 10_001
    assert lost == reader.writer.lost


def test_a_reader_that_is_gone() -> None:
    """With nobody left to read, logging goes on; each line counts as lost."""
    reader, end = os.pipe()
    writer = LogWriter(end)
    os.close(reader)
    for _ in range(100):
        logger_of(writer).critical("x")
    writer.finish(LIMIT_S)
    assert writer.lost == 100


def test_a_descriptor_that_does_not_block(reader: Reader) -> None:
    """Another process may have made the same terminal or pipe non-blocking: no line is lost by that."""
    os.set_blocking(reader.end, False)
    reader.log(*range(500))
    reader.writer.finish(0.0)
    reader.begin()
    assert reader.lines("line 499") == [f"line {number}" for number in range(500)]
    assert reader.writer.lost == 0


@pytest.mark.parametrize("where", ["full", "closed"])
def test_what_cannot_be_written(where: str) -> None:
    """A disk that is full, or no stderr at all, costs the lines, and nothing else."""
    fd = os.open("/dev/full", os.O_WRONLY) if where == "full" else -1
    writer = LogWriter(fd)
    logger = logger_of(writer)
    for _ in range(10):
        logger.error("x")
    writer.finish(LIMIT_S)
    assert writer.lost == 10


def test_a_disk_that_has_room_again(tmp_path: Path) -> None:
    """When lines can be written again, the first says how many are missing, and it begins a line of its own."""
    full = os.open("/dev/full", os.O_WRONLY)
    writer = LogWriter(full, encoding="ascii")
    logger = logger_of(writer)
    logger.error("one")
    logger.error("two")
    writer.finish(LIMIT_S)
    log = os.open(tmp_path / "log", os.O_WRONLY | os.O_CREAT)
    os.dup2(log, full)
    logger.error("dr\u00fcber")
    writer.finish(LIMIT_S)
    first, second = (tmp_path / "log").read_text().splitlines()
    assert first.startswith("2 log lines were lost here")
    assert second == "dr\\xfcber"
    assert writer.lost == 2


def test_what_is_no_message(reader: Reader) -> None:
    """A message whose arguments do not fit is logged as it is: a defect in a log line must not stop the work."""
    reader.logger.warning("%d groups", "many")
    reader.log(1)
    reader.begin()
    first, second = reader.lines("line 1")
    assert first.startswith("'%d groups' with ('many',) is not a log message (")
    assert second == "line 1"


def test_lines_from_a_signal_handler(reader: Reader) -> None:
    """A signal handler may log, even while the thread that it interrupts is logging."""
    interrupted = 0

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal interrupted
        interrupted += 1
        reader.log(interrupted, level=logging.ERROR)

    reader.begin()
    before = signal.signal(signal.SIGALRM, handle)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
        logged = 0
        while interrupted < 100:
            logged += 1
            reader.log(0)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    reader.writer.finish(LIMIT_S)
    reader.log(999_999)
    seen = [line for line in reader.lines("line 999999") if not NOTICE.match(line)]
    assert len(seen) + reader.writer.lost == logged + interrupted + 1
    assert "line 1" in seen
