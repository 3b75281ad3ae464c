"""arq: one function, one job for each group."""

from __future__ import annotations

import asyncio
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings

from bench.groups import concurrency, references, store_url
from bench.peers.http_async import Closer


async def start(context: dict[str, Any]) -> None:
    """Make the HTTP client."""
    context["closer"] = Closer()
    await context["closer"].open()


async def close(context: dict[str, Any], reference: str) -> None:
    """Close one group."""
    await context["closer"].close(reference)


class WorkerSettings:
    """What `arq bench.peers.arq_peer.WorkerSettings` runs."""

    functions = (close,)
    on_startup = start
    max_jobs = concurrency()
    redis_settings = RedisSettings.from_dsn(store_url())


def enqueue(count: int) -> None:
    """Send a job for each group."""
    asyncio.run(_enqueue(count))


async def _enqueue(count: int) -> None:
    pool = await create_pool(RedisSettings.from_dsn(store_url()))
    for reference in references(count):
        await pool.enqueue_job("close", reference)
    await pool.aclose()
