"""Connections to the store, with time-outs on everything."""

from __future__ import annotations

import os
from contextlib import suppress

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff

from worker import private
from worker.settings import Settings

_TIMEOUT_S = 10.0
_CONNECT_S = 5.0
_CONNECTIONS = 16


def connect(settings: Settings) -> Redis:
    """A client of the store. Nothing is connected yet; a broken connection is replaced, once, at the next command.

    Raises NotPrivate when the embedded store's socket would be in a folder that another user has put there.
    """
    if settings.socket_is_elsewhere:
        with suppress(OSError):  # it is not there: nor is the store, which is told when it is asked
            os.close(private.open_folder(settings.socket_path.parent))
    pool = BlockingConnectionPool.from_url(
        settings.store_url,
        max_connections=_CONNECTIONS,
        timeout=_TIMEOUT_S,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_S,
        health_check_interval=15,
        retry=Retry(ConstantBackoff(0.05), 1),
    )
    return Redis.from_pool(pool)  # it owns the pool: `aclose` closes its connections, too
