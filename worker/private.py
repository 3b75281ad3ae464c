"""Folders and files of our own: nobody else reads them, and no link in them makes us write somewhere else."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from tasks.errors import ConfigurationError

_REMEDY = "set CLOSER_DATA_DIR to a folder that only you can write to"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # a pipe in a file's place must not hold us up


class NotPrivate(ConfigurationError):
    """A folder in which somebody else could have us write over a file of theirs, or of ours."""


def open_folder(path: Path, *, make: bool = False, kept: bool = False) -> int:
    """A descriptor of a folder that is ours alone; one that others may read or write is closed to them (0700).

    `make`: make it, and what leads to it, if it is not there. `kept`: what is in it must not be lost, so it must not
    lie where others may take it away. Raises NotPrivate; and OSError when it cannot be made or opened.
    """
    if make:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)
    try:
        folder = os.open(path, _FOLDER)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR) and os.path.lexists(path):
            raise NotPrivate(f"{path} is a link, or not a folder; {_REMEDY}") from error
        raise
    try:
        _make_private(path, folder)
        if kept:
            _check_place(path.absolute())
    except BaseException:
        os.close(folder)
        raise
    return folder


def open_file(name: str | Path, flags: int, folder: int | None = None) -> int:
    """A descriptor of a regular file of ours, in a folder by its descriptor; one that is made is readable to us alone.

    Raises NotPrivate when it is something else, or another user's. Raises OSError.
    """
    try:
        file = os.open(name, flags | _FILE, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotPrivate(f"{name} is a link, or not a file; remove it") from error
        raise
    found = os.fstat(file)
    if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
        os.close(file)
        raise NotPrivate(f"{name} is not a file of yours; remove it")
    return file


def write(folder: int, name: str, text: str) -> None:
    """Put the text into a file in the folder, whole or not at all. Raises OSError."""
    fresh = f"{name}.new"
    with suppress(FileNotFoundError):
        os.unlink(fresh, dir_fd=folder)
    with os.fdopen(open_file(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, folder), "w") as file:
        file.write(text)
    os.replace(fresh, name, src_dir_fd=folder, dst_dir_fd=folder)


def _make_private(path: Path, folder: int) -> None:
    found = os.fstat(folder)
    if found.st_uid != os.geteuid():
        raise NotPrivate(f"{path} belongs to another user; {_REMEDY}")
    if found.st_mode & 0o077:
        os.fchmod(folder, 0o700)


def _check_place(path: Path) -> None:
    """Others may not rename it: who may write to the folder above may, unless that has the sticky bit, as /tmp has.

    A group of the user's own number is the user's private one.
    """
    place = path.parent.stat()
    others = stat.S_IWOTH if place.st_gid == os.getegid() == os.geteuid() else stat.S_IWOTH | stat.S_IWGRP
    if place.st_mode & others and not place.st_mode & stat.S_ISVTX:
        raise NotPrivate(f"others may write to {path.parent}, and take {path.name} away; {_REMEDY}")
