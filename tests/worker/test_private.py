"""Folders and files of our own: whatever another user has put there, nothing is written anywhere else."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import run
from worker import private
from worker.demo.demo import _keep_log, _kept_log
from worker.private import NotPrivate
from worker.process.signs import Signs, own_sign
from worker.settings import Settings
from worker.store.connect import connect
from worker.store.embedded import EmbeddedStore, own

ANOTHER = 12345


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A data directory of this test's own."""
    return Settings(data_dir=tmp_path / "data")


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A file that nobody asked us to touch."""
    file = tmp_path / "victim"
    file.write_text("precious")
    return file


def sign(settings: Settings) -> None:
    """Give a sign of life."""
    Signs(settings.data_dir).write(own_sign())


def mode(path: Path) -> int:
    """Its permissions."""
    return path.stat().st_mode & 0o7777


def test_a_new_folder_is_ours_alone(settings: Settings) -> None:
    """Whatever the umask, folders are 0700 and files 0600."""
    before = os.umask(0)
    try:
        sign(settings)
        assert _own_lock(settings)
    finally:
        os.umask(before)
    assert mode(settings.data_dir) == mode(settings.data_dir / "workers") == 0o700
    files = [path for path in settings.data_dir.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {own_sign().file, "owner.lock"}
    assert {mode(path) for path in files} == {0o600}


def _own_lock(settings: Settings) -> bool:
    lock = own(settings.data_dir / "owner.lock")
    if lock:
        lock.close()
    return lock is not None


@pytest.mark.parametrize("open_to", [0o755, 0o777, 0o1777, 0o750])
def test_a_folder_that_is_open_is_closed(settings: Settings, open_to: int) -> None:
    """One of ours that others may look into, or write to, is 0700 from then on, and is used."""
    folder = settings.data_dir / "workers"
    folder.mkdir(parents=True)
    folder.chmod(open_to)
    sign(settings)
    assert mode(folder) == 0o700
    assert len(Signs(settings.data_dir).read()) == 1


@pytest.mark.parametrize("name", ["{file}", "{file}.new"])
@pytest.mark.parametrize("link", [Path.symlink_to, Path.hardlink_to])
def test_a_link_in_place_of_a_sign(
    settings: Settings, victim: Path, name: str, link: Callable[[Path, Path], None]
) -> None:
    """The sign is written in its own place; what the link leads to stays as it is."""
    folder = settings.data_dir / "workers"
    folder.mkdir(parents=True)
    link(folder / name.format(file=own_sign().file), victim)
    sign(settings)
    assert victim.read_text() == "precious"
    assert len(Signs(settings.data_dir).read()) == 1


def test_a_link_in_place_of_the_folder(settings: Settings, tmp_path: Path) -> None:
    """It is refused, by name and with what to do; what it leads to stays empty."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings.data_dir.mkdir()
    (settings.data_dir / "workers").symlink_to(elsewhere)
    with pytest.raises(NotPrivate, match="workers is a link, or not a folder; set CLOSER_DATA_DIR"):
        sign(settings)
    with pytest.raises(NotPrivate):
        Signs(settings.data_dir).begin()
    with pytest.raises(NotPrivate):
        Signs(settings.data_dir).read()
    assert list(elsewhere.iterdir()) == []


def test_a_worker_does_not_start_there(settings: Settings, tmp_path: Path, store_url: str) -> None:
    """A worker whose folder is a link ends at once, with exit code 2; so does `closer health`."""
    settings.data_dir.mkdir()
    (settings.data_dir / "workers").symlink_to(tmp_path)
    for command in ("worker", "health"):
        done = run(command, redis_url=store_url, data_dir=settings.data_dir, api_base_url="http://127.0.0.1:1")
        assert done.returncode == 2, done.stderr
        assert "workers is a link" in done.stderr


@pytest.mark.parametrize("what", ["link", "pipe", "folder"])
def test_what_is_not_a_file(settings: Settings, victim: Path, what: str) -> None:
    """A lock that is a link, a pipe or a folder is refused; as a sign of life it does not count."""

    def put(place: Path) -> None:
        if what == "link":
            place.symlink_to(victim)
        elif what == "pipe":
            os.mkfifo(place)
        else:
            place.mkdir()

    folder = settings.data_dir / "workers"
    folder.mkdir(parents=True)
    for place in (folder / "1.json", settings.data_dir / "owner.lock"):
        put(place)
    with pytest.raises((NotPrivate, IsADirectoryError)):
        own(settings.data_dir / "owner.lock")
    assert Signs(settings.data_dir).read() == []
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("open_to", [0o777, 0o772])
def test_data_that_others_may_take_away(tmp_path: Path, open_to: int) -> None:
    """The embedded store keeps nothing where others may rename its folder; with the sticky bit they may not."""
    place = tmp_path / "place"
    place.mkdir()
    place.chmod(open_to)
    folder = place / "data"
    with pytest.raises(NotPrivate, match=r"others may write to .*place, and take data away; set CLOSER_DATA_DIR"):
        EmbeddedStore(Settings(data_dir=folder)).start()
    place.chmod(open_to | 0o1000)
    os.close(private.open_folder(folder, kept=True))


def test_the_embedded_stores_folder(settings: Settings, tmp_path: Path) -> None:
    """A link in its place is refused; one that is open is closed."""
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(NotPrivate, match="link is a link"):
        EmbeddedStore(Settings(data_dir=tmp_path / "link")).start()
    settings.data_dir.mkdir(mode=0o755)
    store = EmbeddedStore(settings)
    store.start()
    store.stop()
    assert mode(settings.data_dir) == 0o700


def test_what_belongs_to_another_user(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder of another user is refused, whoever we are."""
    sign(settings)
    monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)
    signs = Signs(settings.data_dir)
    for use in (lambda: sign(settings), signs.read, signs.begin):
        with pytest.raises(NotPrivate, match="workers belongs to another user"):
            use()
    with pytest.raises(NotPrivate, match=r"owner\.lock is not a file of yours"):
        own(settings.data_dir / "owner.lock")


async def test_a_socket_that_another_user_offers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the socket is among temporary files, a folder that another user has put there is not used."""
    settings = Settings(data_dir=tmp_path / ("x" * 120))
    await connect(settings).aclose()
    folder = settings.socket_path.parent
    folder.mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: ANOTHER)
    try:
        with pytest.raises(NotPrivate, match="belongs to another user"):
            connect(settings)
    finally:
        folder.rmdir()


def test_the_log_of_a_demo_that_failed(tmp_path: Path, victim: Path) -> None:
    """It is put beside its folder, in the place of a link that somebody put there, and only we can read it."""
    folder = tmp_path / "closer-demo-x"
    folder.mkdir()
    with os.fdopen(private.open_file(folder / "worker.log", os.O_WRONLY | os.O_CREAT), "w") as log:
        log.write("last words")
    _kept_log(folder).symlink_to(victim)
    for _ in range(2):
        kept = _keep_log(folder)
        assert (kept.read_text(), mode(kept), victim.read_text()) == ("last words", 0o600, "precious")
