"""Connections to the store that go dead without a word are noticed, and work goes on by itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from tests.end_to_end.fleet import own_store
from tests.relay import Relay, relay
from tests.support import Process, count, publish, until
from worker.simulator.server import Simulator, run_in_thread

LONG_S = 60.0  # twice what is promised; how long it really takes is measured elsewhere


@dataclass(frozen=True, slots=True)
class Line:
    """A worker that reaches its store through a relay, and has closed a group."""

    relay: Relay
    store: redis.Redis
    worker: Process

    def closes(self, *references: str) -> None:
        """These groups are published, and closed by the same process."""
        wanted = count(self.store, "closed") + len(references)
        publish(self.store, list(references))

        def closed() -> bool:
            assert self.worker.process.poll() is None, self.worker.output
            return count(self.store, "closed") == wanted

        until(closed, "the groups closed", LONG_S)

    def speaks(self, word: bytes) -> None:
        """Returns when the worker has a connection on which it said that word."""
        until(lambda: self.relay.alive(word), f"a connection with {word.decode()}", LONG_S)


@contextmanager
def line(folder: Path) -> Iterator[Line]:
    """Such a worker; at the end it stops as it is told to."""
    with (
        own_store(folder / "store") as (url, store),
        relay(int(url.rpartition(":")[2].partition("/")[0])) as between,
        run_in_thread(Simulator()) as (api, _),
        Process(
            folder, "worker",
            redis_url=f"redis://127.0.0.1:{between.port}/0", api_base_url=api, data_dir=folder / "data",
        ) as worker,
    ):  # fmt: skip
        found = Line(between, store, worker)
        found.closes("first")
        yield found
        assert worker.stop() == 0, worker.output


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("word", "whose"),
    [
        (b"", "all of them"),
        (b"BRPOP", "the one that waits for task messages"),
        (b"SUBSCRIBE", "remote control's"),
        (b"LPUSH", "the dispatcher's"),
        (b"EVALSHA", "the ledger's"),
        (b"XREADGROUP", "intake's"),
        (b"unacked_mutex", "the one that looks for lost task messages"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_dead_without_a_word(tmp_path: Path, word: bytes, whose: str) -> None:
    """Whichever connection goes dead, the same process makes a new one and closes the groups that come later."""
    with line(tmp_path) as found:
        found.speaks(word)
        assert found.relay.dies(word), whose
        found.closes("second", "third")
        found.speaks(word)


@pytest.mark.timeout(300)
def test_the_peer_is_gone_for_a_while(tmp_path: Path) -> None:
    """Nothing gets through, on new connections neither: the worker says so, waits, and goes on when it does."""
    with line(tmp_path) as found:
        gone(found)
        found.relay.blocked = False
        found.relay.dies()
        found.closes("second", "third")


@pytest.mark.timeout(300)
def test_told_to_stop_while_the_peer_is_gone(tmp_path: Path) -> None:
    """A worker that nothing reaches ends as it is told to: exit code 0 within what supervisors grant."""
    with line(tmp_path) as found:
        gone(found)


def gone(found: Line) -> None:
    """The peer vanishes, and the worker has said so of the store and of the broker."""
    found.relay.blocked = True
    found.relay.dies()
    until(lambda: "the store does not answer" in found.worker.output, "a word about the store", LONG_S)
    until(lambda: "broker" in found.worker.output, "a word about the broker", LONG_S)
