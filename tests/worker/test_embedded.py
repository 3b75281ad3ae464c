"""The embedded store: a real one in a folder, joined, adopted and kept across restarts."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from tasks.errors import CloserError, StoreUnavailable
from tests.support import until
from worker.settings import Settings
from worker.store.embedded import EmbeddedStore, own

OWNER = """
import sys
from pathlib import Path
from worker.store.embedded import EmbeddedStore
from worker.settings import Settings
EmbeddedStore(Settings(data_dir=Path(sys.argv[1]))).start()
print("up", flush=True)
sys.stdin.read()
"""


def client(settings: Settings) -> redis.Redis:
    """A client of the store."""
    return redis.Redis(unix_socket_path=str(settings.socket_path))


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory of this test's own."""
    return Settings(data_dir=tmp_path / "data")


@pytest.mark.long
def test_data_are_kept(settings: Settings) -> None:
    """What was written is there after a restart; the folder is nobody else's; a second stop does nothing."""
    for expected in (None, b"1"):
        store = EmbeddedStore(settings)
        store.start()
        with client(settings) as redis_client:
            assert redis_client.get("x") == expected
            redis_client.set("x", 1)
            assert redis_client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        store.stop()
        store.stop()
        with client(settings) as redis_client, pytest.raises(redis.ConnectionError):
            redis_client.ping()
    assert settings.data_dir.stat().st_mode & 0o077 == 0


def test_joined(settings: Settings) -> None:
    """A second process joins the store that runs; its end does not stop it."""
    owner, guest = EmbeddedStore(settings), EmbeddedStore(settings)
    owner.start()
    try:
        guest.start()
        guest.stop()
        with client(settings) as redis_client:
            assert redis_client.ping()
    finally:
        owner.stop()


@pytest.mark.long
def test_adopted(settings: Settings) -> None:
    """After the owner's kill -9 the next process adopts the store with its data, and stops it at its own end."""
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(settings.data_dir)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"up\n"
        with client(settings) as redis_client:
            redis_client.set("x", 1)
        process.kill()
        process.wait(10)
    store = EmbeddedStore(settings)
    store.start()
    with client(settings) as redis_client:
        assert redis_client.get("x") == b"1"
    store.stop()

    def gone() -> bool:
        try:
            with client(settings) as redis_client:
                return not redis_client.ping()
        except redis.ConnectionError:
            return True

    until(gone, "the store stops")


def test_a_killed_store_is_started_again(settings: Settings) -> None:
    """A store killed with -9 is back by itself, with all it had acknowledged; a stop still stops it."""
    store = EmbeddedStore(settings)
    store.start()
    try:
        with client(settings) as redis_client:
            redis_client.set("x", 1)
            pid = int(redis_client.info("server")["process_id"])
            os.kill(pid, signal.SIGKILL)
            until(lambda: _process(settings) not in (None, pid), "started again")
            assert redis_client.get("x") == b"1"
    finally:
        store.stop()
    assert _process(settings) is None


def _process(settings: Settings) -> int | None:
    try:
        with client(settings) as redis_client:
            return int(redis_client.info("server")["process_id"])
    except redis.RedisError:
        return None


def test_a_long_name(tmp_path: Path) -> None:
    """A data directory whose name is too long for a socket works all the same."""
    settings = Settings(data_dir=tmp_path / ("x" * 100) / ("y" * 100))
    store = EmbeddedStore(settings)
    store.start()
    try:
        with client(settings) as redis_client:
            assert redis_client.ping()
        assert (settings.data_dir / "appendonlydir").is_dir()
    finally:
        store.stop()
        shutil.rmtree(settings.socket_path.parent)


def test_owned_but_silent(settings: Settings) -> None:
    """Where another process owns the folder and its store does not answer, that is said."""
    owner = EmbeddedStore(settings)
    owner.start()
    owner.stop()
    lock = own(settings.data_dir / "owner.lock")
    assert lock is not None
    with lock, pytest.raises(StoreUnavailable, match="another process owns"):
        EmbeddedStore(settings, patience_s=0.2).start()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    """Where the data directory cannot be made, the setting to change is named."""
    (tmp_path / "file").write_text("")
    with pytest.raises(CloserError, match="set CLOSER_DATA_DIR to a folder you own"):
        EmbeddedStore(Settings(data_dir=tmp_path / "file" / "data")).start()


def test_a_store_that_cannot_start(settings: Settings) -> None:
    """Where the store does not start, that is said with the folder, and the folder is free again."""
    settings.data_dir.mkdir(parents=True)
    (settings.data_dir / "appendonlydir").write_text("no folder")
    with pytest.raises(StoreUnavailable, match="did not start"):
        EmbeddedStore(settings).start()
    lock = own(settings.data_dir / "owner.lock")
    assert lock is not None
    lock.close()


def test_two_at_once(settings: Settings) -> None:
    """Of processes that start at the same moment one starts the store, and the others join it."""
    stores = [EmbeddedStore(settings) for _ in range(3)]
    try:
        with ThreadPoolExecutor(len(stores)) as threads:
            for started in [threads.submit(store.start) for store in stores]:
                started.result(timeout=40)
        with client(settings) as redis_client:
            assert redis_client.ping()
        assert [store._server is not None for store in stores].count(True) == 1
    finally:
        for store in stores:
            store.stop()
