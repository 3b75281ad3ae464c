"""Writes an export: a JSON object a line, into a new file or on stdout."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import click

from tasks.errors import CloserError

_NO_DISK = {errno.EINVAL, errno.ENOTSUP}  # a pipe or a terminal keeps nothing, so there is nothing to wait for


class LineFile:
    """Where an export goes. `write` returns when its lines are on the disk, or with the program at a pipe's end."""

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file = file
        self._name = name

    def write(self, documents: Iterable[Any]) -> None:
        """Write each document as a line of ASCII. Raises CloserError; some of the lines may be there then."""
        try:
            self._file.write("".join(json.dumps(document) + "\n" for document in documents).encode())
            self._file.flush()
            self._sync()
        except OSError as error:
            raise _failed(self._name, error) from error

    def _sync(self) -> None:
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            if error.errno not in _NO_DISK:
                raise


@contextmanager
def line_file(path: Path | None) -> Iterator[LineFile]:
    """Open a new file that only this user can read; stdout without a path.

    A file that is there already is refused, because it may be an earlier export.
    """
    if path is None:
        yield LineFile(sys.stdout.buffer, "stdout")
        return
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError:
        raise click.UsageError(
            f"{path} is there already; name another file, so that no earlier export is lost"
        ) from None
    except OSError as error:
        raise _failed(str(path), error) from error
    with os.fdopen(descriptor, "wb") as file:
        yield LineFile(file, str(path))


def need_file_for_json(path: Path | None, *, as_json: bool) -> None:
    """Raise UsageError where both the export and the result would go to stdout."""
    if as_json and path is None:
        raise click.UsageError("--json tells the result on stdout, so the export needs a file: give --file PATH, too")


def _failed(name: str, error: OSError) -> CloserError:
    return CloserError(
        f"{name} could not be written ({error.strerror or error}); nothing was removed from the ledger that was not "
        "written before. Make room, or name another file, and run the same command again"
    )
