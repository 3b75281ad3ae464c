"""What every operation works with: the connections, and what is said when there is no store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tasks.catalogue import Catalogue
from tasks.errors import StoreUnavailable
from tasks.ledger import Ledger
from tasks.scripts import unavailable
from worker.settings import Settings
from worker.store import connect

_BATCH = 200

StreamEntry = tuple[str, dict[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class OperatorContext:
    """One connection pool to the store, the ledger behind it, and the settings."""

    settings: Settings
    redis: Redis
    ledger: Ledger
    catalogue: Catalogue

    @classmethod
    def of(cls, settings: Settings, redis: Redis) -> OperatorContext:
        """A context on a connection pool that somebody else closes."""
        ledger = Ledger(redis, deadline_s=settings.retry_deadline)
        return cls(settings, redis, ledger, Catalogue(redis, prefix=ledger.prefix))

    def key(self, name: str) -> str:
        """A key of closer's in the store."""
        return self.ledger.prefix + name

    async def backwards(self, name: str, since_ms: int = 0) -> AsyncIterator[StreamEntry]:
        """The entries of a stream of closer's, newest first, each with its id. Raises StoreUnavailable."""
        last = "+"
        while True:
            with asking():
                rows: Any = await self.redis.xrevrange(self.key(name), last, str(since_ms), count=_BATCH)
            for entry_id, fields in rows:
                yield entry_id.decode(), fields
            if len(rows) < _BATCH:
                return
            last = f"({rows[-1][0].decode()}"

    async def entry(self, name: str, entry_id: str) -> StreamEntry | None:
        """One entry of a stream of closer's, if there is one of this id. Raises StoreUnavailable."""
        with asking():
            rows: Any = await self.redis.xrange(self.key(name), entry_id, entry_id)
        return (entry_id, rows[0][1]) if rows else None


@asynccontextmanager
async def open_context(settings: Settings) -> AsyncIterator[OperatorContext]:
    """Open a context. Raises StoreUnavailable that tells which address was tried, and what to set."""
    redis = connect(settings)
    try:
        yield OperatorContext.of(settings, redis)
    except StoreUnavailable as error:
        raise StoreUnavailable(f"{error}\n{where(settings)}") from error
    finally:
        await redis.aclose()


@contextmanager
def asking() -> Iterator[None]:
    """Translate the store's errors, for commands that are no script."""
    try:
        yield
    except (RedisError, OSError) as error:
        raise unavailable(error) from error


def where(settings: Settings) -> str:
    """Which store was tried, and how to name another."""
    tried = f"Tried {settings.public_store_address}"
    if settings.embedded:
        return (
            f"{tried}: the embedded store, because CLOSER_REDIS_URL is not set.\n"
            "Start it with `closer up`; or set CLOSER_REDIS_URL to your store, or CLOSER_DATA_DIR as the worker has it."
        )
    return f"{tried} (CLOSER_REDIS_URL). Is that the address, and does the server run?"
