"""A worker's signs of life: the files that `closer health` reads.

They stand in the data directory. Where that cannot be written, because a disk is full or a file system read-only, they
stand among the files in memory or the temporary files: nobody must take a worker that works for dead.
It imports nothing that is slow, because `closer health` runs for every probe.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from tasks.errors import ConfigurationError
from worker import private
from worker.data_dir import is_known
from worker.process import identity

SPARE = (Path("/dev/shm"), Path("/tmp"))  # noqa: S108  (private folders are made there, see worker/private.py)
_PASSES = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM}
_FOREIGN_S = 3600.0  # a worker of another container or machine that has not written for so long is gone


class NoPlace(ConfigurationError):
    """This worker can write its sign of life nowhere."""


@dataclass(frozen=True, slots=True)
class Sign:
    """A worker's last sign of life.

    `at_s`: when it was given, by the machine's monotonic clock, which all its processes share. `trouble`: what keeps
    the worker from its work, "" for nothing. `stuck`: it is connected and takes no messages. `suspended`: the API
    refuses its key. `introduced`: the ledger knows it, and it takes messages.
    """

    pid: int
    at_s: float
    trouble: str = ""
    stuck: bool = False
    suspended: bool = False
    introduced: bool = True
    born: str = ""  # tells the process from a later one with the same pid
    token: str = ""  # and from one with the same pid in another container, see worker/process/identity.py
    machine: str = ""

    @property
    def file(self) -> str:
        """The name of its file."""
        return f"{self.pid}-{self.token}.json" if self.token else f"{self.pid}.json"


def own_sign(trouble: str = "", *, stuck: bool = False, suspended: bool = False, introduced: bool = True) -> Sign:
    """Return this process's sign of life at this moment. The arguments are as in `Sign`."""
    own = os.getpid()
    return Sign(
        own, now_s(), trouble, stuck, suspended, introduced, identity.born(own), identity.token(), identity.machine()
    )


def now_s() -> float:
    """Return the machine's monotonic clock (s). It does not jump, and all processes share it."""
    return time.monotonic()


class Signs:
    """The signs of the workers of this user that have one data directory."""

    def __init__(self, data_dir: Path, spare: Sequence[Path] = SPARE) -> None:
        """`data_dir`: where they stand as a rule. It begins with `~` when nobody knows the home directory.

        `spare`: where they stand, in a private folder, when the data directory cannot be written.
        """
        self.data_dir = data_dir
        place = os.path.realpath(data_dir)
        own = f"closer-{os.getuid()}-{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}.workers"
        self._usual = [data_dir / "workers"] if is_known(data_dir) else []
        self._spare = [folder / own for folder in spare]

    def begin(self) -> Path:
        """Write the sign of a worker that has not begun, and return the folder that took it.

        Raises NotPrivate, and NoPlace when this worker may write nowhere. A disk that is full now is left to `write`.
        """
        try:
            return self.write(own_sign(introduced=False))
        except OSError as error:
            if error.errno in _PASSES:
                return self.data_dir
            raise NoPlace(
                f"no sign of life can be written ({error}), so nobody could tell that this worker lives; set "
                "CLOSER_DATA_DIR to a folder that it can write to"
            ) from error

    def write(self, sign: Sign) -> Path:
        """Write the sign where `read` finds it, completely or not at all. Return the folder.

        Raises NotPrivate for the data directory. Raises OSError when no folder takes it.
        """
        problems: list[OSError] = []
        for folder in (*self._usual, *self._spare):
            try:
                with _opened(folder, make=True) as opened:
                    private.write(opened, sign.file, json.dumps(asdict(sign)))
            except private.NotPrivate as error:
                if folder in self._usual:
                    raise
                problems.append(PermissionError(errno.EACCES, str(error)))
            except OSError as error:
                problems.append(error)
            else:
                return folder
        raise next((problem for problem in problems if problem.errno in _PASSES), problems[0])

    def remove(self, sign: Sign) -> None:
        """Remove the sign, because the worker has stopped as it was told to. Errors are ignored.

        A crash before this leaves the file. `read` then removes it, because the process is gone.
        """
        for folder in (*self._usual, *self._spare):
            with suppress(OSError, private.NotPrivate), _opened(folder) as opened:
                os.unlink(sign.file, dir_fd=opened)
        for folder in self._spare:
            with suppress(OSError):  # another worker's sign is in it
                folder.rmdir()

    def read(self) -> list[Sign]:
        """Return the newest sign of each worker of this container, or this machine. Raises NotPrivate.

        Files that dead workers left are removed.
        """
        newest: dict[str, Sign] = {}
        for folder in (*self._usual, *self._spare):
            try:
                with suppress(OSError), _opened(folder) as opened:
                    for sign in _read_all(opened):
                        known = newest.get(sign.file, sign)
                        newest[sign.file] = max(known, sign, key=lambda one: one.at_s)
            except private.NotPrivate:
                if folder in self._usual:
                    raise
        return [newest[file] for file in sorted(newest)]


@contextmanager
def _opened(path: Path, *, make: bool = False) -> Iterator[int]:
    folder = private.open_folder(path, make=make)
    try:
        yield folder
    finally:
        os.close(folder)


def _read_all(folder: int) -> Iterator[Sign]:
    """Yield the signs of workers that run here. Those of other containers, which share the folder, are left alone."""
    for name in os.listdir(folder):
        if not name.endswith(".json"):
            continue
        sign = _read(folder, name)
        foreign = sign is not None and bool(sign.machine) and sign.machine != identity.machine()
        if sign is not None and not foreign and _runs(sign):
            yield sign
        elif not foreign or _is_old(folder, name):
            with suppress(OSError):
                os.unlink(name, dir_fd=folder)


def _read(folder: int, name: str) -> Sign | None:
    """Return the sign in this file. None when it is gone, or is not a sign: a full disk or another release wrote it."""
    try:
        with os.fdopen(private.open_file(name, os.O_RDONLY, folder)) as file:
            return Sign(**json.loads(file.read()))
    except (FileNotFoundError, private.NotPrivate, ValueError, TypeError):
        return None


def _is_old(folder: int, name: str) -> bool:
    with suppress(OSError):
        return time.time() - os.stat(name, dir_fd=folder).st_mtime > _FOREIGN_S
    return False


def _runs(sign: Sign) -> bool:
    try:
        os.kill(sign.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return identity.born(sign.pid) == sign.born
