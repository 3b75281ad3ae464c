"""Whether a worker lives: its loop turns, and what is sent to it is taken. Known to other processes by a file."""

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
STALE_S = 20.0  # the loop has not turned for so long
IDLE_S = 40.0  # messages were on their way for so long, and this worker took none


@dataclass(frozen=True, slots=True)
class Sign:
    """A worker's last sign of life. `at_s` is on the machine's monotonic clock, the same for all its processes."""

    pid: int
    at_s: float
    trouble: str = ""
    stuck: bool = False
    suspended: bool = False
    introduced: bool = True
    born: str = ""  # tells the process from a later one with the same pid


class Watch:
    """Notices a consumer that is connected and takes nothing."""

    def __init__(self, idle_s: float = IDLE_S) -> None:
        """`idle_s`: for how long messages may be on their way, and none be taken."""
        self._idle_s = idle_s
        self._wanted_since: float | None = None

    def stuck(self, *, now_s: float, on_their_way: int, taken_s: float, busy: bool) -> bool:
        """Whether messages have been on their way, and none was taken though there was room, for too long."""
        if not on_their_way or busy:
            self._wanted_since = None
            return False
        if self._wanted_since is None:
            self._wanted_since = now_s
        return now_s - max(taken_s, self._wanted_since) > self._idle_s


def own_sign(trouble: str, *, stuck: bool, suspended: bool = False, introduced: bool = True) -> Sign:
    """This process's sign of life, now.

    `suspended`: the API refuses its key. `introduced`: the ledger knows the worker; before that it waits.
    """
    own = os.getpid()
    return Sign(own, now_s(), trouble, stuck, suspended, introduced, born=_born(own))


def prepare(settings: Settings) -> None:
    """Make the folder of the signs. Raises NotPrivate; a disk that is full is told later, and is no reason to stop."""
    with suppress(OSError), _folder(settings, make=True):
        pass


def write(settings: Settings, sign: Sign) -> None:
    """Put the sign where `read` finds it, whole or not at all. Raises OSError and NotPrivate."""
    with _folder(settings, make=True) as folder:
        private.write(folder, f"{sign.pid}.json", json.dumps(asdict(sign)))


def remove(settings: Settings, pid: int) -> None:
    """Take the sign away: the worker has stopped as it was told to. Raises OSError and NotPrivate."""
    with suppress(FileNotFoundError), _folder(settings) as folder:
        os.unlink(f"{pid}.json", dir_fd=folder)


def read(settings: Settings) -> list[Sign]:
    """The signs of the workers that run on this machine with this data directory; what the dead left is removed.

    Raises NotPrivate.
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
    """Whether every worker lives, and one line that says so or why not."""
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
    """Why a worker that lives is not ready: it has not begun, or the API refuses its key. None when each has begun."""
    for sign in signs:
        if not sign.introduced:
            return False, f"worker {sign.pid} lives, but has not begun; its log tells what it waits for"
        if sign.suspended:
            return False, f"worker {sign.pid} lives, but the API refuses its key; see `closer status`"
    return None


def now_s() -> float:
    """The machine's monotonic clock (s): it does not jump, and all processes share it."""
    return time.monotonic()


@contextmanager
def _folder(settings: Settings, *, make: bool = False) -> Iterator[int]:
    folder = private.open_folder(settings.data_dir.expanduser() / "workers", make=make)
    try:
        yield folder
    finally:
        os.close(folder)


def _read(folder: int, name: str) -> Sign | None:
    """What stands there; None when it is not a sign (a disk that was full, another version), or gone by now."""
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
    """When the process began, in the kernel's ticks; empty where the kernel does not tell (not Linux)."""
    try:
        after_name = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2]
    except OSError:
        return ""
    return after_name.split()[19]
