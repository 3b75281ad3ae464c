"""Signs of life: what counts as alive, and what is left of the dead."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from worker.process.liveness import STALE_S, Sign, Watch, live, not_ready, now_s, own_sign, read, remove, write
from worker.settings import Settings

NOW = 1000.0


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Settings with a data directory that does not exist yet."""
    return Settings(data_dir=tmp_path / "data")


@pytest.mark.parametrize(
    ("signs", "good", "words"),
    [
        ([], False, "no worker runs here; start one"),
        ([Sign(1, NOW)], True, "1 live"),
        ([Sign(1, NOW - STALE_S), Sign(2, NOW)], True, "2 live"),
        ([Sign(1, NOW), Sign(2, NOW - STALE_S - 1)], False, "worker 2 has given no sign of life for 21 s; restart it"),
        ([Sign(1, NOW), Sign(2, NOW, stuck=True)], False, "worker 2 is connected and takes no messages; restart it"),
        ([Sign(1, NOW, "the store is away"), Sign(2, NOW)], True, "2 live, waiting: the store is away"),
    ],
)
def test_live(signs: list[Sign], good: bool, words: str) -> None:
    """All workers must have given a fresh sign and take messages; a store that is away makes no worker dead."""
    found, line = live(signs, NOW)
    assert (found, words in line) == (good, True), line
    assert "\n" not in line


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (Sign(1, NOW), ""),
        (Sign(1, NOW, suspended=True), "worker 1 lives, but the API refuses its key"),
        (Sign(1, NOW, introduced=False), "worker 1 lives, but has not begun; its log tells what it waits for"),
    ],
)
def test_not_ready(sign: Sign, words: str) -> None:
    """A worker that waits, or whose key is refused, lives and is not ready."""
    assert live([sign], NOW)[0]
    found = not_ready([Sign(2, NOW), sign])
    assert (found or (True, ""))[0] is not bool(words)
    assert words in (found or (True, ""))[1]


def test_watch() -> None:
    """A worker is stuck if messages are on their way, it has room, and it takes none for longer than the limit."""
    watch = Watch(idle_s=40)

    def stuck(at_s: float, *, on_their_way: int = 5, taken_s: float = 0.0, busy: bool = False) -> bool:
        return watch.stuck(now_s=at_s, on_their_way=on_their_way, taken_s=taken_s, busy=busy)

    assert not stuck(100, on_their_way=0)  # idle for long before
    assert not stuck(101)
    assert not stuck(141)
    assert stuck(142)
    assert not stuck(142, taken_s=110)  # it took some meanwhile
    assert stuck(151, taken_s=110)
    assert not stuck(152, busy=True)  # no room: nothing is wrong, and the time starts anew
    assert not stuck(153)
    assert not stuck(193)
    assert stuck(194)
    assert not stuck(195, on_their_way=0)
    assert not stuck(196)


def test_written_and_read(settings: Settings) -> None:
    """A worker's sign is found by other processes until it is taken away, and only the last one counts."""
    assert read(settings) == []
    write(settings, own_sign("", stuck=False))
    before = now_s()
    write(settings, own_sign("away", stuck=True))
    [sign] = read(settings)
    assert (sign.pid, sign.trouble, sign.stuck) == (os.getpid(), "away", True)
    assert before <= sign.at_s <= now_s()
    remove(settings, os.getpid())
    remove(settings, os.getpid())
    assert read(settings) == []


def test_the_dead_do_not_count(settings: Settings) -> None:
    """What a killed worker left is removed, also when another process has its pid by now."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait(20)
    mine = own_sign("", stuck=False)
    write(settings, mine)
    write(settings, Sign(ended.pid, now_s()))
    assert [sign.pid for sign in read(settings)] == [os.getpid()]
    assert len(list((settings.data_dir / "workers").iterdir())) == 1
    write(settings, replace(mine, born="an earlier process"))
    assert read(settings) == []


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1, "at_s": 1, "new": true}', '{"pid": 1}'])
def test_what_is_no_sign(settings: Settings, text: str) -> None:
    """A file that was cut short, or is of another version, is not a sign of life; the others are still read."""
    mine = own_sign("", stuck=False)
    write(settings, mine)
    (settings.data_dir / "workers" / "0.json").write_text(text)
    assert read(settings) == [mine]
    assert json.loads((settings.data_dir / "workers" / f"{mine.pid}.json").read_text()) == asdict(mine)
