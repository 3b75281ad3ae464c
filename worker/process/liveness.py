"""Tells by a file whether a worker lives: whether its loop runs, and whether it takes the messages sent to it."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from worker import private
from worker.settings import Settings

SIGN_EVERY_S = 2.0
STALE_S = 20.0  # a sign that is older means that the loop is stuck
IDLE_S = 40.0  # how long messages may be on their way while this worker takes none


@dataclass(frozen=True, slots=True)
class Sign:
    """A worker's last sign of life.

    `at_s`: when it was given, by the machine's monotonic clock, which all its processes share. `trouble`: what keeps
    the worker from its work, "" for nothing. `stuck`: it is connected and takes no messages. `suspended`: the API
    refuses its key. `introduced`: the ledger knows it.
    """

    pid: int
    at_s: float
    trouble: str = ""
    stuck: bool = False
    suspended: bool = False
    introduced: bool = True
    born: str = ""  # tells the process from a later one with the same pid


class Watch:
    """Notices that Celery's consumer is connected and takes no messages."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        """`idle_s`: how long messages may be on their way (s) while none is taken."""
        self._idle_s = idle_s
        self._wanted_since: float | None = None

    def stuck(self, *, now_s: float, on_their_way: int, taken_s: float, busy: bool) -> bool:
        """Return whether messages have been on their way for too long while none was taken and there was room.

        `now_s`: the time, and `taken_s`: when the last message was taken, both by the monotonic clock. `on_their_way`:
        how many references the fleet's messages name. `busy`: this worker has no room, so it rightly takes none.
        """
        if not on_their_way or busy:
            self._wanted_since = None
            return False
        if self._wanted_since is None:
            self._wanted_since = now_s
        return now_s - max(taken_s, self._wanted_since) > self._idle_s


def own_sign(trouble: str, *, stuck: bool, suspended: bool = False, introduced: bool = True) -> Sign:
    """Return this process's sign of life at this moment. The arguments are as in `Sign`."""
    own = os.getpid()
    return Sign(own, now_s(), trouble, stuck, suspended, introduced, born=_born(own))


def prepare(settings: Settings) -> None:
    """Make the folder of the signs. Raises NotPrivate. Other errors, such as a full disk, are left to `write`."""
    with suppress(OSError), _folder(settings, make=True):
        pass


def write(settings: Settings, sign: Sign) -> None:
    """Write the sign where `read` finds it, completely or not at all. Raises OSError and NotPrivate."""
    with _folder(settings, make=True) as folder:
        private.write(folder, f"{sign.pid}.json", json.dumps(asdict(sign)))


def remove(settings: Settings, pid: int) -> None:
    """Remove the sign, because the worker has stopped as it was told to. Raises OSError and NotPrivate.

    A crash before this leaves the file. `read` then removes it, because the process is gone.
    """
    with suppress(FileNotFoundError), _folder(settings) as folder:
        os.unlink(f"{pid}.json", dir_fd=folder)


def read(settings: Settings) -> list[Sign]:
    """Return the signs of the workers that run on this machine with this data directory.

    Files that dead workers left are removed. Raises NotPrivate.
    """
    signs = []
    with suppress(FileNotFoundError), _folder(settings) as folder:
        for name in sorted(name for name in os.listdir(folder) if name.endswith(".json")):  # noqa: PTH208
            sign = _read(folder, name)
            if sign is not None and _runs(sign):
                signs.append(sign)
            else:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder)
    return signs


def live(signs: list[Sign], now_s: float) -> tuple[bool, str]:
    """Return whether every worker lives, and a line that says so or why not. `now_s`: the time by `now_s()`."""
    if not signs:
        return False, "no worker runs here; start one with `closer worker`"
    for sign in signs:
        age_s = now_s - sign.at_s
        if age_s > STALE_S:
            return False, f"worker {sign.pid} has given no sign of life for {age_s:.0f} s; restart it"
        if sign.stuck:
            return False, f"worker {sign.pid} is connected and takes no messages; restart it"
    waits = "; ".join(sign.trouble for sign in signs if sign.trouble)
    return True, f"{len(signs)} live" + (f", waiting: {waits}" if waits else "")


def not_ready(signs: list[Sign]) -> tuple[bool, str] | None:
    """Return False and why a live worker is not ready: it has not begun, or its key is refused. None: all are ready."""
    for sign in signs:
        if not sign.introduced:
            return False, f"worker {sign.pid} lives, but has not begun; its log tells what it waits for"
        if sign.suspended:
            return False, f"worker {sign.pid} lives, but the API refuses its key; see `closer status`"
    return None


def now_s() -> float:
    """Return the machine's monotonic clock (s). It does not jump, and all processes share it."""
    return time.monotonic()


@contextmanager
def _folder(settings: Settings, *, make: bool = False) -> Iterator[int]:
    folder = private.open_folder(settings.data_dir.expanduser() / "workers", make=make)
    try:
        yield folder
    finally:
        os.close(folder)


def _read(folder: int, name: str) -> Sign | None:
    """Return the sign in this file. None when it is gone, or is not a sign: a full disk or another release wrote it."""
    try:
        with os.fdopen(private.open_file(name, os.O_RDONLY, folder)) as file:
            return Sign(**json.loads(file.read()))
    except (FileNotFoundError, private.NotPrivate, ValueError, TypeError):
        return None


def _runs(sign: Sign) -> bool:
    try:
        os.kill(sign.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _born(sign.pid) == sign.born


def _born(pid: int) -> str:
    """Return when the process began, in the kernel's ticks (field 22, see proc(5)). Empty where there is no /proc."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]
