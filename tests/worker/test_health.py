"""How workers are judged by their signs of life, and in what words."""

from __future__ import annotations

from pathlib import Path

import pytest

from worker.cli.health_words import in_words
from worker.process.liveness import STALE_S, Alive, Watch, liveness, unready
from worker.process.signs import Sign

NOW = 1000.0


@pytest.mark.parametrize(
    ("signs", "good", "words"),
    [
        ([], False, "no worker runs here with CLOSER_DATA_DIR='/my data'; start one with `closer worker`"),
        ([Sign(1, NOW)], True, "1 live"),
        ([Sign(1, NOW - STALE_S), Sign(2, NOW)], True, "2 live"),
        ([Sign(1, NOW), Sign(2, NOW - STALE_S - 1)], False, "worker 2 has given no sign of life for 21 s; restart it"),
        ([Sign(1, NOW), Sign(2, NOW, stuck=True)], False, "worker 2 is connected and takes no messages; restart it"),
        ([Sign(1, NOW, "the store is away"), Sign(2, NOW)], True, "2 live, waiting: the store is away"),
    ],
)
def test_live(signs: list[Sign], good: bool, words: str) -> None:
    """All workers must have given a fresh sign and take messages; a store that is away makes no worker dead."""
    found = liveness(signs, NOW)
    assert isinstance(found, Alive) is good
    assert in_words(found, Path("/my data")) == words


@pytest.mark.parametrize(
    ("sign", "words"),
    [
        (Sign(1, NOW), None),
        (Sign(1, NOW, suspended=True), "worker 1 lives, but the API refuses its key; see `closer status`"),
        (Sign(1, NOW, introduced=False), "worker 1 lives, but has not begun; its log tells what it waits for"),
    ],
)
def test_not_ready(sign: Sign, words: str | None) -> None:
    """A worker that waits, or whose key is refused, lives and is not ready."""
    assert isinstance(liveness([sign], NOW), Alive)
    found = unready([Sign(2, NOW), sign])
    assert (found and in_words(found, Path("/data"))) == words


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
