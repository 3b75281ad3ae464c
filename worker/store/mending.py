"""Mends the embedded store's files when their end cannot be read, and shuts the gate until somebody has looked.

What is cut off is kept. A crash at any moment is safe: the bytes are kept before they are cut off, and that the gate is
still to be shut is written down before that.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfileobj

from tasks.errors import StoreUnavailable
from worker import private
from worker.store.append_only import Reading, read_file

FOLDER = "appendonlydir"
_MANIFEST = "appendonly.aof.manifest"
_ASIDE = "damaged"
_OWED = "pause-owed.json"
_EMPTY_BASE_BYTES = 1024  # what a store without data writes as its base is smaller


@dataclass(frozen=True, slots=True)
class Damage:
    """A file of the store that cannot be read to its end. `later`: the files that the store would read after it."""

    path: Path
    reading: Reading
    later: tuple[Path, ...] = ()

    @property
    def only_short(self) -> bool:
        """Whether it only ends too early: the write of its last command was cut off, which nobody was answered."""
        return self.reading.short and not self.later

    @property
    def at_the_end(self) -> bool:
        """Whether nothing that can be read follows the damage."""
        return self.reading.resumes is None and not any(path.stat().st_size for path in self.later)

    def words(self) -> str:
        """Return what is damaged, and what can be read behind it."""
        begins = f"{self.path} cannot be read from byte {self.reading.sound} of {self.reading.size} on"
        if self.reading.resumes is not None:
            return f"{begins}, and can be read again from byte {self.reading.resumes} on"
        if not self.at_the_end:
            return f"{begins}, and {', '.join(str(path) for path in self.later)} would be read after it"
        return f"{begins}, and nothing behind that can be read"

    @property
    def lost(self) -> int:
        """How many bytes are cut off when it is mended."""
        return self.reading.size - self.reading.sound + sum(path.stat().st_size for path in self.later)


@dataclass(frozen=True, slots=True)
class Owed:
    """The gate is to be shut before anybody works with the store.

    `file`: which one was damaged. `bytes`: how many were cut off. `kept`: the folder that they are in.
    """

    file: str
    bytes: int
    kept: str

    def why(self) -> str:
        """Return why the gate is shut, for the audit and `closer status`."""
        return (
            f"the store's file {self.file} was damaged: {self.bytes} bytes were cut off (kept in {self.kept}); the "
            "latest results, and what operators did last, may be missing"
        )


def unreadable(folder: Path) -> str | None:
    """Return what is wrong with the list of the store's files or with their base; None when both can be read.

    The store itself would begin anew without a list, and would take an empty base for a store without data.
    """
    files = folder / FOLDER
    if not files.is_dir():
        return None
    if not (files / _MANIFEST).exists():
        held = [path.name for path in sorted(files.glob("*.aof")) if path.stat().st_size]
        held += [path.name for path in sorted(files.glob("*.rdb")) if path.stat().st_size > _EMPTY_BASE_BYTES]
        return f"{files / _MANIFEST} is missing, which lists the files {', '.join(held)}" if held else None
    for path in _listed(files, "b"):
        if path.exists() and not path.stat().st_size:
            return f"{path} is empty, and held everything up to its last rewrite"
    return None


def find(folder: Path) -> Damage | None:
    """Return the first file of commands that cannot be read to its end. Raises OSError."""
    files = _listed(folder / FOLDER, "i")
    for number, path in enumerate(files):
        if path.exists() and not (reading := read_file(path)).whole:
            return Damage(path, reading, tuple(later for later in files[number + 1 :] if later.exists()))
    return None


def check(folder: Path) -> Damage | None:
    """Return the damage that `mend` can cut off; None when there is none. Raises StoreUnavailable and OSError."""
    if problem := unreadable(folder):
        raise StoreUnavailable(f"{problem}; put a copy of the folder from before in its place")
    return find(folder)


def mend(folder: Path, damage: Damage, now: datetime) -> Path:
    """Cut off what cannot be read and what follows it, and return the folder where that is kept.

    From then on the gate is to be shut (`owed`), unless the file was only short. Raises OSError.
    """
    kept = _keep(folder, damage, now)
    if not damage.only_short:
        file = os.path.relpath(damage.path, folder)
        _write(folder, _OWED, json.dumps(asdict(Owed(file, damage.lost, str(kept)))))
    # The last file first: the store must never read what follows the damage without what stood before it.
    for path in reversed(damage.later):
        _shorten(path, 0)
    _shorten(damage.path, damage.reading.sound)
    return kept


def owed(folder: Path) -> Owed | None:
    """Return why the gate is still to be shut; None when it is not. Raises OSError."""
    try:
        return Owed(**json.loads((folder / _OWED).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError):  # a disk that lies
        return Owed(FOLDER, 0, str(folder / _ASIDE))


def settled(folder: Path) -> None:
    """The gate is shut. Raises OSError."""
    (folder / _OWED).unlink(missing_ok=True)
    _flush(folder)


def _listed(files: Path, kind: str) -> list[Path]:
    """Return the files that the list names, in the order in which they are read. `kind`: `b` the base, `i` commands."""
    try:
        lines = (files / _MANIFEST).read_text(errors="replace").splitlines()
    except OSError:
        return []
    found = []
    for words in map(str.split, lines):
        told = dict(zip(words[::2], words[1::2], strict=False))
        if told.get("type") == kind and told.get("seq", "").isdigit():
            found.append((int(told["seq"]), files / told.get("file", "")))
    return [path for _, path in sorted(found)]


def _keep(folder: Path, damage: Damage, now: datetime) -> Path:
    """Copy what is to be cut off, and return the folder that it is in."""
    aside = folder / _ASIDE
    kept = aside / now.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    for place in (aside, kept):
        os.close(private.open_folder(place, make=True, kept=True))
    for path in (damage.path, *damage.later):
        start = damage.reading.sound if path == damage.path else 0
        with path.open("rb") as source, (kept / f"{path.name}.from-{start}").open("wb") as target:
            source.seek(start)
            copyfileobj(source, target)
            target.flush()
            os.fsync(target.fileno())
    for place in (kept, aside, folder):
        _flush(place)
    return kept


def _write(folder: Path, name: str, text: str) -> None:
    place = private.open_folder(folder)
    try:
        private.write(place, name, text)
        with (folder / name).open("rb") as file:
            os.fsync(file.fileno())
        os.fsync(place)
    finally:
        os.close(place)


def _shorten(path: Path, size: int) -> None:
    with path.open("r+b") as file:
        file.truncate(size)
        os.fsync(file.fileno())


def _flush(folder: Path) -> None:
    """Write to the disk what the folder holds."""
    place = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)
