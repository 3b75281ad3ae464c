"""Reads append-only files of the store: the commands in the form of its protocol, and where they can no longer be read.

The form is that of Valkey's `loadSingleAppendOnlyFile`: each command is an array of bulk strings, and what stands
between MULTI and EXEC counts only as a whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from mmap import ACCESS_READ, mmap
from pathlib import Path

_NUMBER_BYTES = 24  # the most that a line with a number may have
_HEAD = re.compile(rb"\*[1-9]\d{0,6}\r\n\$\d{1,10}\r\n")  # what each command begins with
_BEGUN = re.compile(rb"\d*\r?\Z")
_ANNOTATION = b"#"


class _Unreadable(Exception):
    """There is no command here. `short`: the file ends before the command does."""

    def __init__(self, *, short: bool) -> None:
        super().__init__()
        self.short = short


@dataclass(frozen=True, slots=True)
class Reading:
    """What a file of `size` bytes holds. `sound`: how many of them, from the beginning, are whole commands and
    transactions.

    `short`: behind them is one command or transaction that has no end, as after a write that was cut off. `resumes`:
    where a whole command stands behind something unreadable; None when there is none.
    """

    size: int
    sound: int
    short: bool = False
    resumes: int | None = None

    @property
    def whole(self) -> bool:
        """Whether the file can be read to its end."""
        return self.sound == self.size


def read_file(path: Path) -> Reading:
    """Read the file at this path. Raises OSError."""
    if not path.stat().st_size:  # an empty file cannot be mapped into memory
        return Reading(0, 0)
    with path.open("rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        return read(data)


def read(data: bytes | mmap) -> Reading:
    """Read the bytes of a file. Never raises."""
    at = sound = 0
    open_block = False
    try:
        while at < len(data):
            at, name = _command(data, at)
            open_block = name == b"MULTI" or (open_block and name != b"EXEC")
            sound = sound if open_block else at
    except _Unreadable as stop:
        resumes = _next_command(data, at + 1)
        return Reading(len(data), sound, stop.short and resumes is None, resumes)
    return Reading(len(data), sound, short=open_block)


def _command(data: bytes | mmap, at: int) -> tuple[int, bytes]:
    """Return where the command that begins here ends, and its name. Raises _Unreadable."""
    if data[at : at + 1] == _ANNOTATION:
        end = data.find(b"\r\n", at)
        if end < 0:
            raise _Unreadable(short=True)
        return end + 2, b""
    count, at = _number(data, at, b"*")
    if not count:
        raise _Unreadable(short=False)
    name = b""
    for index in range(count):
        size, at = _number(data, at, b"$")
        end = at + size
        if data[end : end + 2] != b"\r\n":
            raise _Unreadable(short=end + 2 > len(data) and b"\r\n".startswith(data[end:]))
        name = name if index else data[at:end].upper()
        at = end + 2
    return at, name


def _number(data: bytes | mmap, at: int, mark: bytes) -> tuple[int, int]:
    """Return the number that this line holds, and where the next line begins. Raises _Unreadable."""
    line = data[at : at + _NUMBER_BYTES]
    end = line.find(b"\r\n")
    if line[:1] != mark or end < 0:
        begun = line[:1] in (b"", mark) and _BEGUN.match(line, 1) is not None
        raise _Unreadable(short=begun and at + len(line) == len(data))
    digits = line[1:end]
    if not digits.isdigit():
        raise _Unreadable(short=False)
    return int(digits), end + 2 + at


def _next_command(data: bytes | mmap, start: int) -> int | None:
    """Return where the first whole command begins at or after `start`."""
    for head in _HEAD.finditer(data, start):
        try:
            _command(data, head.start())
        except _Unreadable:
            continue
        return head.start()
    return None
