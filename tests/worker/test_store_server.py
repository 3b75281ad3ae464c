"""The embedded store's process: no signal of its supervisor stops it, and it ends with its owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from tests.support import until
from worker.settings import Settings
from worker.store.embedded import EmbeddedStore, own
from worker.store.server import Server, Stopped, answers

OWNER = """
import sys
from pathlib import Path
from worker.store.embedded import EmbeddedStore
from worker.settings import Settings
EmbeddedStore(Settings(data_dir=Path(sys.argv[1]))).start()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory of this test's own."""
    return Settings(data_dir=tmp_path / "data")


def client(settings: Settings) -> redis.Redis:
    """A client of the store."""
    return redis.Redis(unix_socket_path=str(settings.socket_path))


def process_of(settings: Settings) -> psutil.Process:
    """The store's process."""
    with client(settings) as redis_client:
        return psutil.Process(int(redis_client.info("server")["process_id"]))


@contextmanager
def running(settings: Settings) -> Iterator[EmbeddedStore]:
    """A store of this process's."""
    store = EmbeddedStore(settings)
    store.start()
    try:
        yield store
    finally:
        store.stop()


@contextmanager
def owner(settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that owns the store."""
    command = [sys.executable, "-c", OWNER, str(settings.data_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"up\n"
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT])
def test_signals_of_a_supervisor(settings: Settings, how: signal.Signals) -> None:
    """A signal that a terminal or a supervisor sends to all processes does not stop the store; its owner does."""
    with running(settings):
        process = process_of(settings)
        assert os.getpgid(process.pid) == process.pid
        process.send_signal(how)
        with client(settings) as redis_client:
            redis_client.set("x", 1)
            assert redis_client.get("x") == b"1"
        assert process_of(settings) == process
    assert not process.is_running()


@pytest.mark.skipif(sys.platform != "linux", reason="PR_SET_PDEATHSIG is Linux's")
def test_no_orphan(settings: Settings) -> None:
    """When the owner is killed with -9 the store ends, too, and what it had acknowledged is there at the next start."""
    with owner(settings) as first:
        with client(settings) as redis_client:
            redis_client.set("x", 1)
        process = process_of(settings)
        first.kill()
        first.wait(10)
    process.wait(20)
    with running(settings), client(settings) as redis_client:
        assert redis_client.get("x") == b"1"


def test_a_guest_goes_on(settings: Settings) -> None:
    """When the owner is killed a second process starts the store again, and its end leaves none behind."""
    with owner(settings) as first, running(settings) as guest:
        before = process_of(settings)
        first.kill()
        first.wait(10)
        before.wait(20)
        until(lambda: answers(settings.socket_path), "the store of the second process")
        assert guest._server is not None
        process = process_of(settings)
    assert not process.is_running()


def test_an_orphan_of_another_kind(settings: Settings) -> None:
    """A store whose owner is gone all the same, as on a system without that signal, is started anew, or stopped."""
    settings.data_dir.mkdir(mode=0o700)
    orphan = Server(settings.data_dir, settings.socket_path)
    orphan.start(threading.Event())
    try:
        left = process_of(settings)
        with running(settings):
            assert process_of(settings) != left
        orphan.kill()
        orphan.start(threading.Event())
        left, lock = process_of(settings), own(settings.data_dir / "owner.lock")
        assert lock is not None
        with running(settings):  # joins it
            assert process_of(settings) == left
            lock.close()
        left.wait(20)
    finally:
        orphan.kill()


def test_a_start_that_is_given_up(settings: Settings) -> None:
    """A process that is told to stop while its store starts leaves no store behind."""
    settings.data_dir.mkdir(mode=0o700)
    stopping = threading.Event()
    stopping.set()
    with pytest.raises(Stopped):
        Server(settings.data_dir, settings.socket_path).start(stopping)
    assert not answers(settings.socket_path)


@pytest.mark.parametrize("more", [0, 1])
def test_its_log_is_bounded(settings: Settings, more: int) -> None:
    """A log over 10 MiB takes the place of the one before it when the store starts; a shorter one is carried on."""
    with running(settings):
        log = settings.data_dir / "valkey.log"
    old = log.with_name("valkey.log.1")
    old.write_bytes(b"of last year")
    long = b"x" * (10 * 1024 * 1024 + more)
    log.write_bytes(long)
    with running(settings):
        assert client(settings).ping()
    assert old.read_bytes() == (long if more else b"of last year")
    assert log.read_bytes().startswith(b"x") == (not more)
    assert b"Ready to accept connections" in log.read_bytes()[-5000:]


def test_a_log_that_cannot_be_moved(settings: Settings) -> None:
    """It grows further, and the store starts."""
    with running(settings):
        log = settings.data_dir / "valkey.log"
    (log.with_name("valkey.log.1") / "in the way").mkdir(parents=True)
    log.write_bytes(b"x" * (10 * 1024 * 1024 + 1))
    with running(settings):
        assert client(settings).ping()
    assert log.read_bytes().startswith(b"x")
