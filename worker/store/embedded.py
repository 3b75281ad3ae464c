"""The embedded store: a real Valkey server with append-only files, for machines that have no store."""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from redis.exceptions import RedisError

from tasks.errors import CloserError, ConfigurationError, DamagedStore, StoreUnavailable
from tasks.outage_log import OutageLog
from worker import private
from worker.observe.error_words import in_words
from worker.patience import pauses
from worker.settings import Settings
from worker.store import mending
from worker.store.server import LOG, NotLoaded, Server, Stopped, answers, is_loading, shut_down
from worker.store.shut_gates import shut_gates

_log = logging.getLogger("closer.embedded")
_START_S, _CONNECT_S = 30.0, 2.0
_LOOK_S, _WATCH_S = 0.1, 1.0
_STOP_S = 30.0
_LOCK = "owner.lock"


class EmbeddedStore:
    """Starts the store under the data directory, or joins the one that another process has started there.

    One thread owns the server from its start to its end, and starts it again when it dies: the server ends with it.
    """

    def __init__(self, settings: Settings, *, patience_s: float = _START_S) -> None:
        """`patience_s`: how long to wait for a store that another process is starting (s)."""
        self._patience_s = patience_s
        self._fleet = settings.fleet
        self._named = settings.known_data_dir
        self._folder = self._named.resolve()
        self._socket = settings.socket_path
        self._lock: IO[bytes] | None = None
        self._server: Server | None = None
        self._up: Future[None] = Future()
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="store-keeper", daemon=True)

    def start(self) -> None:
        """Start or join the store; return when it answers. Raises StoreUnavailable and ConfigurationError."""
        for folder in (self._named, self._socket.parent):
            _private(folder)
        self._keeper.start()
        try:
            self._up.result()
        except Exception:
            self._keeper.join(_STOP_S)  # it gives up what it has
            raise

    def stop(self) -> None:
        """Stop the store if this process owns it. Call this last: everything is on disk when it returns."""
        self._stopping.set()
        if self._keeper.is_alive():
            self._keeper.join(_STOP_S)

    def _keep(self) -> None:
        try:
            self._join_or_start()
            self._up.set_result(None)
            self._keep_alive()
        except BaseException as error:
            if self._up.done():
                raise
            self._up.set_exception(error)
        finally:
            self._end()

    def _join_or_start(self) -> None:
        tries = int(self._patience_s / _LOOK_S) + 1
        while not self._joined_or_started():
            tries -= 1
            if tries < 0:
                raise StoreUnavailable(
                    f"another process owns {self._folder}, but its store does not answer on {self._socket}"
                )
            if self._stopping.wait(_LOOK_S):
                raise Stopped("this process stops")

    def _joined_or_started(self) -> bool:
        """Return False while another process owns the store and it does not answer yet."""
        self._lock = self._lock or own(self._folder / _LOCK)
        there = answers(self._socket) or is_loading(self._socket)
        if self._lock is not None:
            if there:  # its owner was killed, and the system could not end it with its owner
                _log.warning("the store in %s has no owner any more; it is started anew", self._folder)
                shut_down(self._socket)
            self._start()
        elif there:
            _log.info("joined the store that runs in %s", self._folder)
        return self._lock is not None or there

    def _keep_alive(self) -> None:
        """Start a store that has died again. Its append-only file has everything that it acknowledged."""
        outages, waits = OutageLog("the embedded store"), pauses()
        while not self._stopping.wait(_WATCH_S):
            if not gone(self._socket):
                continue
            try:
                self._restart()
            except Stopped:
                return
            except (CloserError, OSError) as error:
                outages.begins(StoreUnavailable(in_words(error)))
                self._stopping.wait(next(waits))
            else:
                outages.ends()
                waits = pauses()

    def _restart(self) -> None:
        if self._server is not None:
            _log.critical("the embedded store in %s has died; starting it again", self._folder)
            self._server.kill()
            self._server = None
        if self._lock is None:
            self._lock = own(self._folder / _LOCK)
            if self._lock is not None:
                _log.warning("the owner of the store in %s has ended; this process starts it again", self._folder)
        if self._lock is not None:  # otherwise another process owns it and starts it
            self._start()

    def _start(self) -> None:
        """Start the server; mend its files first, if only their end cannot be read."""
        if problem := mending.unreadable(self._folder):
            raise StoreUnavailable(f"{self._did_not}: {problem}; put a copy of the folder from before in its place")
        try:
            self._server = self._launched()
        except NotLoaded as error:
            self._mend(error)
            self._server = self._launched()
        _log.info("embedded store started in %s", self._folder)

    def _launched(self) -> Server:
        self._shut_gate_if_owed()
        server = Server(self._folder, self._socket)
        server.start(self._stopping)
        return server

    def _mend(self, error: NotLoaded) -> None:
        """Cut off an end that cannot be read. Raises StoreUnavailable when that is not what is wrong."""
        damage = mending.find(self._folder)
        if damage is None:
            raise StoreUnavailable(f"{self._did_not}: {error}; its log: {self._folder / LOG}") from error
        if not damage.at_the_end:
            raise DamagedStore(f"{self._did_not}: {damage.words()}") from error
        kept = mending.mend(self._folder, damage, datetime.now(UTC))
        if damage.only_short:
            _log.warning(
                "the last write to %s was cut off; nobody was told that it had succeeded. Its %d bytes are kept in %s",
                damage.path, damage.lost, kept,
            )  # fmt: skip

    def _shut_gate_if_owed(self) -> None:
        """Shut the gate before anybody else can reach the store. A crash here repeats it at the next start."""
        owed = mending.owed(self._folder)
        if owed is None:
            return
        aside = self._socket.with_name("mend.sock")
        server = Server(self._folder, aside)
        server.start(self._stopping)
        try:
            asyncio.run(shut_gates(aside, self._fleet, owed.why()))
        except (RedisError, OSError) as error:
            raise StoreUnavailable(f"the gate could not be shut: {error}") from error
        finally:
            server.stop()
        mending.settled(self._folder)
        _log.critical(
            "%s. No call is made until somebody has looked: see `closer status` and `closer audit`, and put right what "
            "is missing; then: closer resume --why TEXT",
            owed.why(),
        )

    def _end(self) -> None:
        """Stop the store if it is this process's, or if its owner was killed."""
        if self._server is not None:
            self._server.stop()
        elif self._lock is None and self._up.done() and self._up.exception() is None:
            self._lock = own(self._folder / _LOCK)
            if self._lock is not None and not gone(self._socket):
                shut_down(self._socket)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    @property
    def _did_not(self) -> str:
        return f"the embedded store in {self._folder} did not start"


def gone(path: Path) -> bool:
    """Whether nobody listens on the socket. A store that is slow or frozen is not gone."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(_CONNECT_S)
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            return True
        except OSError:
            return False
        return False


@contextmanager
def at_rest(settings: Settings) -> Iterator[Path]:
    """Give the folder of a store that does not run, and keep others from starting it meanwhile.

    Raises NotPrivate, and CloserError when it runs.
    """
    folder = settings.known_data_dir.resolve()
    _private(folder)
    lock = own(folder / _LOCK)
    if lock is None or not gone(settings.socket_path):
        raise CloserError(f"the store in {folder} runs, or is being started; stop closer on this machine first")
    with lock:
        yield folder


def own(path: Path) -> IO[bytes] | None:
    """Return the owner's lock, or None when another process has it. The system frees it when the process ends."""
    file = os.fdopen(private.open_file(path, os.O_RDWR | os.O_CREAT), "r+b")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        file.close()
        return None
    return file


def _private(folder: Path) -> None:
    try:
        os.close(private.open_folder(folder, make=True, kept=True))
    except OSError as error:
        raise ConfigurationError(
            f"cannot make {folder}: {error.strerror}; set CLOSER_DATA_DIR to a folder you own"
        ) from error
