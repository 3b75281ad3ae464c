"""Writes an export: a JSON object a line, into a new file or on stdout."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

import click

from tasks.errors import CloserError

_NO_DISK = {errno.EINVAL, errno.ENOTSUP}  # a pipe or a terminal keeps nothing, so there is nothing to wait for
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC


class LineFile:
    """Where an export goes. `write` returns when its lines are on the disk, or with the program at a pipe's end."""

    def __init__(self, file: FileIO, name: str) -> None:
        self._file = file
        self._name = name

    def write(self, documents: Iterable[Any]) -> None:
        """Write each document as a line of ASCII. Raises CloserError; some of the lines may be there then."""
        try:
            self._write_all("".join(json.dumps(document) + "\n" for document in documents).encode())
            self._sync()
        except OSError as error:
            raise _failed(self._name, error) from error

    def _write_all(self, lines: bytes) -> None:
        left = memoryview(lines)
        while left:
            left = left[self._file.write(left) :]

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in _NO_DISK:
                raise


@contextmanager
def line_file(path: Path | None) -> Iterator[LineFile]:
    """Open a new file that only this user can read; stdout without a path.

    It writes to stdout's descriptor, because `streams.Output` drops what cannot be written, and tells nobody until the
    end.

    A file that is there already is refused, because it may be an earlier export.
    """
    name = "stdout" if path is None else str(path)
    try:
        descriptor = os.dup(sys.stdout.fileno()) if path is None else _new_file(path)
    except FileExistsError:
        raise click.UsageError(
            f"{path} is there already; name another file, so that no earlier export is lost"
        ) from None
    except OSError as error:
        raise _failed(name, error) from error
    with os.fdopen(descriptor, "wb", buffering=0) as file:  # its end has nothing left to write, so it cannot fail
        yield LineFile(file, name)


def _new_file(path: Path) -> int:
    """Create the file, and write its folder to the disk, too: else a power cut could lose the name."""
    descriptor = os.open(path, _NEW, 0o600)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    return descriptor


def need_file_for_json(path: Path | None, *, as_json: bool) -> None:
    """Raise UsageError where both the export and the result would go to stdout."""
    if as_json and path is None:
        raise click.UsageError("--json tells the result on stdout, so the export needs a file: give --file PATH, too")


def _failed(name: str, error: OSError) -> CloserError:
    return CloserError(
        f"{name} could not be written ({error.strerror or error}); nothing was removed from the ledger that was not "
        "written before. Make room, or name another file, and run the same command again"
    )
