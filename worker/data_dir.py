"""Finds the data directory. It imports nothing that is slow, because `closer health` runs for every probe."""

from __future__ import annotations

import os
from pathlib import Path

from tasks.errors import ConfigurationError
from worker.environment import BLANKS, PREFIX, bare, given

_NAME = "DATA_DIR"


def data_dir() -> Path:
    """Return the data directory as the settings have it. Raises ConfigurationError when its value is wrong."""
    try:
        value = bare(given(_NAME))
        return whole(Path(value)) if value else default()
    except ValueError as error:
        raise ConfigurationError(f"{PREFIX}{_NAME}: {error}") from None


def default() -> Path:
    """Return the data directory where no variable names one: with the user's data, as the desktop's rules say.

    It begins with `~` when the home directory is not known. Who writes there must not: see `is_known`.
    """
    folder = Path(os.environ.get("XDG_DATA_HOME", "").strip(BLANKS) or "~/.local/share") / "closer"
    try:
        return whole(folder)
    except ValueError:
        return folder


def whole(folder: Path) -> Path:
    """Return the folder with a home directory in place of `~`. Raises ValueError when that is not known."""
    try:
        return folder.expanduser()
    except RuntimeError:
        raise ValueError("the home directory that ~ stands for is not known: set it to a whole path") from None


def is_known(folder: Path) -> bool:
    """Return whether this is a place: no user without HOME and without an entry in /etc/passwd has one by default."""
    return not str(folder).startswith("~")
