"""Opens private folders and files. Nobody else can read them, and a link cannot make closer write elsewhere."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from tasks.errors import ConfigurationError

_REMEDY = "set CLOSER_DATA_DIR to a folder that only you can write to"
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK  # opening a pipe in a file's place must not block


class NotPrivate(ConfigurationError):
    """A folder or file in whose place somebody else could make closer write over another file."""


def open_folder(path: Path, *, make: bool = False, kept: bool = False) -> int:
    """Return a descriptor of a folder that only this user can use. Permissions of others are removed (0700).

    `make`: create the folder and its parents if they are missing. `kept`: its contents must not be lost, so it must not
    lie where others may move it away. Raises NotPrivate, and OSError when it cannot be made or opened.
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
    """Return a descriptor of a regular file of this user. A new file can be read by this user only (0600).

    `flags`: as of `os.open`. `folder`: a descriptor of the folder that `name` is in; None: `name` is a path.
    Raises NotPrivate when it is not a regular file or belongs to another user. Raises OSError.
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
    """Write the text to a file in the folder, whole or not at all. Raises OSError and NotPrivate.

    `folder`: a descriptor. A crash here leaves the old file, because the new one takes its place in one step.
    """
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
    """Check that others cannot rename the folder. Whoever may write to its parent can, unless that has the sticky bit.

    A group with the user's own number is the user's private group, so it does not count as others.
    """
    place = path.parent.stat()
    others = stat.S_IWOTH if place.st_gid == os.getegid() == os.geteuid() else stat.S_IWOTH | stat.S_IWGRP
    if place.st_mode & others and not place.st_mode & stat.S_ISVTX:
        raise NotPrivate(f"others may write to {path.parent}, and take {path.name} away; {_REMEDY}")
