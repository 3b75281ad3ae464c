"""The systems under test: how each is given its work, and how its worker is started."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.environments import ROOT, python_of

_PEERS = Path(__file__).parent / "peers"


@dataclass(frozen=True, slots=True)
class System:
    """One system under test. `python` is asked for when it is needed: it may have to be installed first.

    `work` builds the worker's command line from (concurrency, groups). `kind` is closer, peer or limit. `folder` is the
    checkout whose code runs.
    """

    name: str
    kind: str
    how: str
    work: Callable[[int, int], list[str]]
    python: Callable[[], str] = lambda: sys.executable
    module: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    fixed_concurrency: int | None = None
    folder: Path = ROOT

    def flight(self, concurrency: int) -> int:
        """How many calls it may have in flight when `concurrency` is asked for."""
        return self.fixed_concurrency or concurrency


def _closer(name: str, how: str, **environment: str) -> System:
    return System(name, "closer", how, lambda concurrency, groups: ["-m", "worker", "worker"], environment=environment)


def _limit(name: str, how: str, client: str) -> System:
    return System(name, "limit", how, lambda concurrency, groups: ["-m", "bench.limits.bare", client, str(groups)])


def _peer(
    name: str, how: str, family: str, work: Callable[[int], list[str]], fixed: int | None = None, client: str = ""
) -> System:
    return System(
        name,
        "peer",
        how,
        lambda concurrency, groups: work(concurrency),
        lambda: python_of(_PEERS / f"requirements-{family}.txt"),
        f"bench.peers.{family}_peer",
        {"BENCH_CLIENT": client} if client else {},
        fixed,
    )


def _dramatiq(threads: int) -> list[str]:
    return ["-m", "dramatiq", "bench.peers.dramatiq_peer", "--processes", "1", "--threads", str(threads)]


def _taskiq(coroutines: int) -> list[str]:
    # Without --max-prefetch it would take no more than it has coroutines; so it never waits for the store.
    limits = ["--workers", "1", "--max-async-tasks", str(coroutines), "--max-prefetch", str(coroutines)]
    return ["-m", "taskiq", "worker", "bench.peers.taskiq_peer:broker", *limits]


def _celery(pool: str) -> Callable[[int], list[str]]:
    command = ["-m", "celery", "-A", "bench.peers.celery_peer", "worker", "--pool", pool, "--concurrency"]
    return lambda concurrency: [*command, str(concurrency)]


def _arq(jobs: int) -> list[str]:
    return ["-m", "arq", "bench.peers.arq_peer.WorkerSettings"]


QUIET = _closer("closer, quiet", "`CLOSER_LOG_LEVEL=warning`", CLOSER_LOG_LEVEL="warning")
CLOSER = _closer("closer", "as it ships: one log line for each attempt")
METERED = _closer("closer, metrics", "with `CLOSER_METRICS_PORT`, which nobody reads", CLOSER_METRICS_PORT="19109")
BARE = _limit("bare aiohttp", "coroutines that only call", "aiohttp")
BARE_HTTPX = _limit("bare httpx-aiohttp", "coroutines that only call", "httpx")
_SESSIONS = "requests, a session for each thread"

PEERS = [
    _peer("dramatiq", f"one process, threads; {_SESSIONS}", "dramatiq", _dramatiq),
    _peer("taskiq, httpx", "one process, coroutines; httpx.AsyncClient", "taskiq", _taskiq, client="httpx"),
    _peer("taskiq, aiohttp", "one process, coroutines; bare aiohttp", "taskiq", _taskiq, client="aiohttp"),
    _peer("Celery, threads", f"one process; {_SESSIONS}", "celery", _celery("threads")),
    _peer("Celery, prefork 16", f"16 processes; {_SESSIONS}", "celery", _celery("prefork"), fixed=16),
    _peer(
        "arq, httpx",
        "coroutines; httpx.AsyncClient; its own half second between two looks at the queue",
        "arq",
        _arq,
        client="httpx",
    ),
    _peer("arq, aiohttp", "the same with bare aiohttp", "arq", _arq, client="aiohttp"),
]
