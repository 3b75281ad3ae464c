"""Signs of life: where they stand, whose count, and what is left of the dead."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from worker.process import identity
from worker.process.signs import NoPlace, Sign, Signs, now_s, own_sign

HOUR_S = 3600.0


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A data directory that does not exist yet."""
    return tmp_path / "data"


@pytest.fixture
def spare(tmp_path: Path) -> Path:
    """A folder for the signs that the data directory does not take."""
    (tmp_path / "spare").mkdir()
    return tmp_path / "spare"


@pytest.fixture
def signs(data_dir: Path, spare: Path) -> Signs:
    """The signs of workers with that data directory."""
    return Signs(data_dir, [spare])


def files(folder: Path) -> list[Path]:
    """All files under it."""
    return [path for path in folder.rglob("*") if path.is_file()]


def write(data_dir: Path, sign: Sign) -> Path:
    """Put a sign of another process into the data directory."""
    folder = data_dir / "workers"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / sign.file).write_text(json.dumps(asdict(sign)))
    return folder / sign.file


def test_written_and_read(signs: Signs) -> None:
    """A worker's sign is found by other processes until it is taken away, and only the last one counts."""
    assert signs.read() == []
    signs.write(own_sign())
    before = now_s()
    signs.write(own_sign("away", stuck=True))
    [sign] = signs.read()
    assert (sign.pid, sign.trouble, sign.stuck) == (os.getpid(), "away", True)
    assert before <= sign.at_s <= now_s()
    signs.remove(own_sign())
    signs.remove(own_sign())
    assert signs.read() == []


def test_the_first_sign(signs: Signs, data_dir: Path) -> None:
    """A worker that starts lives and has not begun."""
    assert signs.begin() == data_dir / "workers"
    [sign] = signs.read()
    assert (sign.pid, sign.introduced) == (os.getpid(), False)


def test_the_dead_do_not_count(signs: Signs, data_dir: Path) -> None:
    """What a killed worker left is removed, also when another process has its pid by now."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(20)
    mine = own_sign()
    signs.write(mine)
    write(data_dir, Sign(ended.pid, now_s()))
    write(data_dir, replace(mine, born="an earlier process", token="000000"))
    assert signs.read() == [mine]
    assert [path.name for path in files(data_dir)] == [mine.file]


@pytest.mark.parametrize("machine", ["another boot pid:[1]", f"{identity.machine()}1"])
def test_another_container(signs: Signs, data_dir: Path, machine: str) -> None:
    """A worker of another container or machine on the same volume does not count here; its sign stays while fresh."""
    mine = own_sign()
    theirs = replace(mine, token="000000", machine=machine)
    signs.write(mine)
    file = write(data_dir, theirs)
    assert signs.read() == [mine]
    assert len(files(data_dir)) == 2
    old_s = file.stat().st_mtime - HOUR_S - 1
    os.utime(file, (old_s, old_s))
    assert signs.read() == [mine]
    assert len(files(data_dir)) == 1


def test_the_same_number_in_two_containers(signs: Signs, data_dir: Path) -> None:
    """Two workers with one process number have two signs; a worker with an unknown machine counts."""
    mine = own_sign()
    signs.write(mine)
    write(data_dir, replace(mine, token="000000", machine=""))
    assert len(signs.read()) == 2


def test_a_sign_of_an_older_release(signs: Signs, data_dir: Path) -> None:
    """A worker that has no token in its sign counts."""
    before = {name: value for name, value in asdict(own_sign()).items() if name not in ("token", "machine")}
    (data_dir / "workers").mkdir(parents=True)
    (data_dir / "workers" / f"{os.getpid()}.json").write_text(json.dumps(before))
    assert [sign.pid for sign in signs.read()] == [os.getpid()]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1, "at_s": 1, "new": true}', '{"pid": 1}'])
def test_what_is_not_a_sign(signs: Signs, data_dir: Path, text: str) -> None:
    """A file that was cut short, or is of another version, is not a sign of life; the others are still read."""
    mine = own_sign()
    signs.write(mine)
    (data_dir / "workers" / "0.json").write_text(text)
    assert signs.read() == [mine]
    assert [path.name for path in files(data_dir)] == [mine.file]


def in_the_way(data_dir: Path) -> None:
    """A file stands where the data directory should be."""
    data_dir.write_text("")


def cannot_be_made(data_dir: Path) -> None:
    """A file stands where the signs' folder should be made."""
    data_dir.mkdir()
    (data_dir / "workers").mkdir()
    (data_dir / "workers" / f"{own_sign().file}.new").mkdir()


@pytest.mark.parametrize("obstacle", [in_the_way, cannot_be_made])
def test_a_data_directory_that_cannot_be_written(
    signs: Signs, data_dir: Path, spare: Path, obstacle: Callable[[Path], None]
) -> None:
    """The sign stands elsewhere, for this data directory's workers only, and is removed from there."""
    obstacle(data_dir)
    folder = signs.begin()
    assert folder.parent == spare
    assert [sign.pid for sign in signs.read()] == [os.getpid()]
    assert Signs(data_dir.with_name("other"), [spare]).read() == []
    signs.remove(own_sign())
    assert signs.read() == []
    assert list(spare.iterdir()) == []


def test_a_data_directory_that_is_written_again(signs: Signs, data_dir: Path) -> None:
    """Of the signs that one worker has left in two folders the newest counts."""
    in_the_way(data_dir)
    signs.write(own_sign("the disk is full"))
    data_dir.unlink()
    signs.write(own_sign())
    assert [sign.trouble for sign in signs.read()] == [""]


def test_no_home(spare: Path) -> None:
    """Without a home directory the signs stand elsewhere, and no folder `~` is made."""
    signs = Signs(Path("~/.local/share/closer"), [spare])
    assert signs.begin().parent == spare
    assert len(signs.read()) == 1
    assert not Path("~").exists()


def test_no_place_at_all(data_dir: Path, tmp_path: Path) -> None:
    """A worker that may write nowhere does not start: nobody could tell that it lives."""
    in_the_way(data_dir)
    with pytest.raises(NoPlace, match=r"data.*set CLOSER_DATA_DIR to a folder that it can write to"):
        Signs(data_dir, [data_dir, data_dir / "below"]).begin()


def test_a_disk_that_is_full(signs: Signs, data_dir: Path) -> None:
    """A worker starts although no file can be written just now, because that passes; its signs come later."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))  # as good as a full disk: nothing can be opened
    try:
        assert signs.begin() == data_dir
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert signs.read() == []
    assert signs.write(own_sign()) == data_dir / "workers"


def test_another_users_spare_folder(data_dir: Path, spare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A spare folder that is a link or another user's is not used, and harms nobody."""
    in_the_way(data_dir)
    second = spare / "second"
    second.mkdir()
    signs = Signs(data_dir, [spare, second])
    first = spare / signs.begin().name
    first.rename(spare / "moved")
    first.symlink_to(spare / "moved")
    assert signs.begin().parent == second
    assert len(signs.read()) == 1


def test_names() -> None:
    """Two processes have two names, though host and number were the same; one process keeps its name."""
    program = "from worker.process import identity; print(identity.name()); assert identity.name() == identity.name()"
    names = [subprocess.check_output([sys.executable, "-c", program], text=True, timeout=60).strip() for _ in range(2)]
    assert len({name.rpartition(":")[2] for name in [*names, identity.name()]}) == 3
    assert identity.name().split(":")[:2] == [os.uname().nodename, str(os.getpid())]
