"""Connections to the store that go dead without a word are noticed, and work goes on by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import redis

from tests.end_to_end.fleet import own_store
from tests.relay import Relay, relay
from tests.support import Process, count, publish, until
from worker.simulator.server import Simulator, run_in_thread

LONG_S = 90.0  # three times what is promised, on a busy machine; how long it really takes is measured elsewhere


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


DIES = {
    "all of them": b"",
    "the one that waits for task messages": b"BRPOP",
    "remote control's": b"SUBSCRIBE",
    "the dispatcher's": b"LPUSH",
    "the ledger's": b"EVALSHA",
    "intake's": b"XREADGROUP",
    "the one that looks for lost task messages": b"unacked_mutex",
}


def dies(word: bytes, folder: Path) -> None:
    """The connections on which the worker said that word go dead."""
    with line(folder) as found:
        found.speaks(word)
        assert found.relay.dies(word)
        found.closes("second", "third")
        found.speaks(word)


def comes_back(folder: Path) -> None:
    """Nothing gets through for a while, on new connections neither."""
    with line(folder) as found:
        gone(found)
        found.relay.blocked = False
        found.relay.dies()
        found.closes("second", "third")


def stays_away(folder: Path) -> None:
    """Nothing gets through any more, and the worker is told to stop."""
    with line(folder) as found:
        gone(found)


def gone(found: Line) -> None:
    """The peer vanishes, and the worker has said so of the store and of the broker."""
    found.relay.blocked = True
    found.relay.dies()
    until(lambda: "the store does not answer" in found.worker.output, "a word about the store", LONG_S)
    until(lambda: "broker" in found.worker.output, "a word about the broker", LONG_S)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Future[None]]]:
    """All of it at the same time, each with servers of its own: every case waits for the same time-outs."""
    cases: dict[str, Callable[[Path], None]] = {whose: partial(dies, word) for whose, word in DIES.items()}
    cases |= {"comes back": comes_back, "stays away": stays_away}
    with ThreadPoolExecutor(len(cases)) as pool:
        yield {name: pool.submit(case, tmp_path_factory.mktemp("line")) for name, case in cases.items()}


@pytest.mark.long
@pytest.mark.timeout(400)
@pytest.mark.parametrize("whose", DIES)
def test_dead_without_a_word(running: dict[str, Future[None]], whose: str) -> None:
    """Whichever connection goes dead, the same process makes a new one and closes the groups that come later."""
    running[whose].result()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_the_peer_is_gone_for_a_while(running: dict[str, Future[None]]) -> None:
    """Nothing gets through, on new connections neither: the worker says so, waits, and goes on when it does."""
    running["comes back"].result()


@pytest.mark.long
@pytest.mark.timeout(400)
def test_told_to_stop_while_the_peer_is_gone(running: dict[str, Future[None]]) -> None:
    """A worker that nothing reaches ends as it is told to: exit code 0 within what supervisors grant."""
    running["stays away"].result()
