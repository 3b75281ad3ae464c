"""The embedded store's files after a crash: a damaged end is cut off and kept, and the gate is shut until a look."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
import redis

from tasks.errors import DamagedStore, StoreUnavailable
from tasks.ledger.gate import Gate
from tasks.ledger.ledger import Ledger
from tasks.ledger.old_prefix import SEAL, SEALED_VALUES, old_key
from tasks.namespace import Namespace
from tests.support import key_of
from worker.settings import Settings
from worker.store import mending
from worker.store.connect import connect
from worker.store.embedded import EmbeddedStore
from worker.store.server import NotLoaded

ZEROS, GARBAGE = bytes(4096), b"\x93garbage\r\n\x00\xff" * 40
BROKEN_LENGTH, TOO_LONG = (b"$2\r\nk3\r\n", b"$x\r\nk3\r\n"), (b"$2\r\nk3\r\n", b"$9999999\r\nk3\r\n")


@dataclass(frozen=True, slots=True)
class Disk:
    """The folder of a store that was killed with -9, with the keys `k0` to `k9` in it."""

    settings: Settings

    @property
    def files(self) -> Path:
        """Where the store's files are."""
        return self.settings.data_dir / mending.FOLDER

    @property
    def commands(self) -> Path:
        """The file that grows."""
        return self.files / "appendonly.aof.1.incr.aof"

    def replace(self, old: bytes, new: bytes) -> None:
        """Damage the file of commands in its middle."""
        whole = self.commands.read_bytes()
        assert old in whole
        self.commands.write_bytes(whole.replace(old, new))

    def append(self, rest: bytes) -> None:
        """Damage it at its end."""
        with self.commands.open("ab") as file:
            file.write(rest)

    def kept(self) -> list[bytes]:
        """What was cut off and kept."""
        return [path.read_bytes() for path in sorted((self.settings.data_dir / "damaged").rglob("*.aof.from-*"))]

    @contextmanager
    def started(self) -> Iterator[redis.Redis]:
        """A client of the store on these files."""
        store = EmbeddedStore(self.settings)
        store.start()
        try:
            with redis.Redis(unix_socket_path=str(self.settings.socket_path)) as client:
                yield client
        finally:
            store.stop()

    def gate(self, namespace: str = "closer") -> Gate:
        """The gate of a fleet, while the store runs."""

        async def look() -> Gate:
            client = connect(self.settings)
            try:
                return await Ledger(client, namespace=Namespace(namespace)).gate.look()
            finally:
                await client.aclose()

        return asyncio.run(look())


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    """Such a folder."""
    found = Disk(Settings(data_dir=tmp_path / "data"))
    store = EmbeddedStore(found.settings)
    store.start()
    with redis.Redis(unix_socket_path=str(found.settings.socket_path)) as client:
        for number in range(10):
            client.set(f"k{number}", "v" * 30)
        found.gate()  # a ledger
        asyncio.run(pause_and_resume(found.settings))
        os.kill(int(client.info("server")["process_id"]), signal.SIGKILL)
    store.stop()
    return found


async def pause_and_resume(settings: Settings) -> None:
    """Write something into the ledgers of two fleets."""
    client = connect(settings)
    for namespace in ("closer", "other"):
        gate = Ledger(client, namespace=Namespace(namespace)).gate
        await gate.pause(by="olga", why="before")
        await gate.resume(by="olga", why="before")
    await client.aclose()


def test_after_kill_9(disk: Disk) -> None:
    """What was answered survives kill -9 of the store; the gate stays open."""
    with disk.started() as client:
        assert client.exists(*(f"k{number}" for number in range(10))) == 10
        assert disk.gate().open


@pytest.mark.parametrize("rest", [ZEROS, GARBAGE, b"*3\r\n$3\r\nSET\r\n$2\r\nkx\r\n$40\r\nv" + ZEROS], ids=range(3))
def test_a_damaged_end(disk: Disk, rest: bytes, caplog: pytest.LogCaptureFixture) -> None:
    """An end that cannot be read is cut off and kept, loudly, and every fleet is paused by closer until it resumes."""
    disk.append(rest)
    with disk.started() as client:
        assert client.exists(*(f"k{number}" for number in range(10))) == 10
        for namespace in ("closer", "other"):
            [paused] = disk.gate(namespace).standing
            assert (paused.reason, paused.by) == ("paused", "closer")
            assert f"{len(rest)} bytes were cut off" in paused.why
            assert "the latest results, and what operators did last, may be missing" in paused.why
        [(_, told)] = cast(Any, client.xrevrange(key_of("audit"), count=1))
        assert (told[b"by"], told[b"action"]) == (b"closer", b"pause")
    assert disk.kept() == [rest]
    [loud] = [record for record in caplog.records if record.levelname == "CRITICAL"]
    assert "closer resume --why TEXT" in loud.getMessage()
    with disk.started():
        assert not disk.gate().open
    assert disk.kept() == [rest]


def test_a_store_whose_ledger_was_moved(disk: Disk) -> None:
    """The seal that a move leaves under the old prefix is not a ledger: the start goes on, and the seal stays."""
    sealed = {old_key(name): SEAL for name in SEALED_VALUES}
    with disk.started() as client:
        client.hset(old_key("policy"), "api", SEAL)
        client.mset(sealed)
    disk.append(ZEROS)
    with disk.started() as client:
        assert not disk.gate().open
        assert client.mget(list(sealed)) == [SEAL.encode()] * len(sealed)
        assert not client.exists(old_key("gate"))


@pytest.mark.parametrize(
    "rest",
    [
        b"*3\r\n$3\r\nSET\r\n$2\r\nkx\r\n$40\r\nvvv",
        b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$2\r\nkx\r\n$1\r\nv\r\n",
        b"*",
    ],
)
def test_a_write_that_was_cut_off(disk: Disk, rest: bytes) -> None:
    """The last command or transaction without its end, which nobody was answered, goes: kept, and the gate is open."""
    disk.append(rest)
    with disk.started() as client:
        assert client.exists(*(f"k{number}" for number in range(10)), "kx") == 10
        assert disk.gate().open
    assert disk.kept() == [rest]


@pytest.mark.parametrize(("old", "new"), [BROKEN_LENGTH, TOO_LONG], ids=["no length", "a length that is too large"])
def test_damage_in_the_middle(disk: Disk, old: bytes, new: bytes) -> None:
    """Where readable commands follow the damage nothing is lost by itself: the start is refused, and the place told."""
    disk.replace(old, new)
    before = disk.commands.read_bytes()
    with pytest.raises(DamagedStore, match="and can be read again from byte") as raised, disk.started():
        pass
    assert str(disk.commands) in str(raised.value)
    assert "valkey-check-aof" not in str(raised.value)
    assert disk.commands.read_bytes() == before
    assert disk.kept() == []


def test_the_damage_is_cut_off_on_demand(disk: Disk) -> None:
    """What follows damage in the middle is kept when somebody has it cut off; the gate is shut then."""
    disk.replace(*BROKEN_LENGTH)
    before = disk.commands.read_bytes()
    damage = mending.check(disk.settings.data_dir)
    assert damage is not None
    mending.mend(disk.settings.data_dir, damage, datetime.now(UTC))
    with disk.started() as client:
        assert client.exists("k0", "k1", "k2", "k3", "k9") == 3
        assert disk.gate().reason == "paused"
    assert before.endswith(disk.kept()[0])


def test_an_earlier_file_is_damaged(disk: Disk) -> None:
    """During a rewrite two files count: damage at the end of the first one is refused, and cut off with the second."""
    second = disk.files / "appendonly.aof.2.incr.aof"
    second.write_bytes(b"*3\r\n$3\r\nSET\r\n$1\r\nz\r\n$1\r\n1\r\n")
    with (disk.files / "appendonly.aof.manifest").open("a") as manifest:
        manifest.write(f"file {second.name} seq 2 type i\n")
    disk.append(ZEROS)
    with pytest.raises(DamagedStore, match=f"{second.name} would be read after it"), disk.started():
        pass
    damage = mending.check(disk.settings.data_dir)
    assert damage is not None
    mending.mend(disk.settings.data_dir, damage, datetime.now(UTC))
    with disk.started() as client:
        assert client.exists("k9", "z") == 1
    assert len(disk.kept()) == 2


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("appendonly.aof.1.base.rdb", "is empty, and held everything"),
        ("appendonly.aof.manifest", "is missing, which lists"),
    ],
)
def test_a_store_that_would_begin_anew(disk: Disk, name: str, words: str) -> None:
    """Without its base or its list the store would begin without data, and say nothing: closer refuses to start it."""
    path = disk.files / name
    path.unlink() if name.endswith("manifest") else path.write_bytes(b"")
    with pytest.raises(StoreUnavailable, match=words), disk.started():
        pass
    with pytest.raises(StoreUnavailable, match=words):
        mending.check(disk.settings.data_dir)


def test_an_empty_file(disk: Disk) -> None:
    """A file of commands that is empty is as a rewrite leaves it: no damage."""
    disk.commands.write_bytes(b"")
    assert mending.check(disk.settings.data_dir) is None
    with disk.started():
        assert disk.gate().open


@pytest.mark.parametrize("name", ["manifest", "base.rdb", "incr.aof"])
def test_another_fault_is_told(disk: Disk, name: str) -> None:
    """A store that does not start for another reason says the reason itself, and where its log is."""
    [path] = disk.files.glob(f"*{name}")
    path.write_bytes(
        {"manifest": b"x" * 2000, "base.rdb": b"REDIS0011" + ZEROS, "incr.aof": b"*1\r\n$3\r\nSXT\r\n"}[name]
    )
    reason = {"manifest": "too long line", "base.rdb": "RDB", "incr.aof": "unknown command 'SXT'"}[name]
    with pytest.raises(StoreUnavailable, match=reason) as raised, disk.started():
        pass
    assert str(disk.settings.data_dir / "valkey.log") in str(raised.value)
    assert "valkey-check-aof" not in str(raised.value)
    assert isinstance(raised.value.__cause__, NotLoaded)


@pytest.mark.parametrize("cut_off", [False, True])
def test_a_crash_while_it_is_mended(disk: Disk, cut_off: bool) -> None:
    """Killed before or after the end was cut off, the next start still shuts the gate, before anybody gets in."""
    disk.append(ZEROS)
    damage = mending.check(disk.settings.data_dir)
    assert damage is not None
    mending.mend(disk.settings.data_dir, damage, datetime.now(UTC))
    if not cut_off:
        disk.append(ZEROS)
    with disk.started():
        assert disk.gate().reason == "paused"
    assert mending.owed(disk.settings.data_dir) is None


def test_a_note_that_cannot_be_read(disk: Disk) -> None:
    """A note of the mending that the disk has lost shuts the gate all the same."""
    (disk.settings.data_dir / "pause-owed.json").write_text(json.dumps({"x": 1})[:4])
    with disk.started():
        assert disk.gate().reason == "paused"
