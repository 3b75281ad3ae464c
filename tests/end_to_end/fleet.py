"""A worker and what it came to: everything published has ended, and the ledger's closures."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import redis
from redis.asyncio import Redis

from tasks.closure import Closure
from tasks.ledger.ledger import Ledger
from tests.support import STREAM, Process, count, key_of, until, url_of, valkey

# Fast enough to wait for, slow enough for a machine that is busy with other things.
SETTINGS = {"retry_base": 0.05, "retry_cap": 0.2, "request_timeout": 2, "lease": 6}


@contextmanager
def own_store(folder: Path) -> Iterator[tuple[str, redis.Redis]]:
    """The address and a client of a store that nobody else empties."""
    folder.mkdir(exist_ok=True)
    with valkey(folder) as server, redis.Redis.from_url(url_of(server)) as client:
        yield url_of(server), client


def all_ended(store: redis.Redis, groups: int) -> bool:
    """Whether nothing is left to be done, and so many groups are closed or failed."""
    return not store.xlen(STREAM) and not store.zcard(key_of("agenda")) and ended(store) == groups


def ended(store: redis.Redis) -> int:
    """How many groups are closed or failed."""
    return count(store, "closed") + count(store, "failed")


def wait_for_all(store: redis.Redis, groups: int, worker: Process) -> None:
    """Returns when so many groups have ended; fails, with the worker's log, when they do not or the worker dies."""

    def over() -> bool:
        assert worker.process.poll() is None, worker.output
        return all_ended(store, groups)

    try:
        until(over, f"the end of {groups} groups")
    except AssertionError as error:
        error.add_note(worker.output[-4000:])
        raise


def closures(url: str, references: Iterable[str]) -> dict[str, Closure]:
    """What the ledger holds for these references; every one must be there."""

    async def read() -> list[Closure | None]:
        client = Redis.from_url(url)
        try:
            return await Ledger(client).read(list(references))
        finally:
            await client.aclose()

    return {closure.reference: closure for closure in asyncio.run(read()) if closure is not None}


def end_of(closure: Closure) -> str:
    """How it ended: the outcome, or the reason of the failure; else its state."""
    return closure.outcome or closure.reason or closure.state
