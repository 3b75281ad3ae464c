"""Connects to the store. Every wait has a time-out."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from redis.asyncio import Connection, Redis, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import RedisError

from worker import private
from worker.settings import Settings
from worker.settings.redis_address import RedisAddress
from worker.settings.tls import Tls
from worker.store.pool import OnceMore, WaryPool

_log = logging.getLogger("closer.store")
_TIMEOUT_S = 10.0
_CONNECT_S = 5.0
_CONNECTIONS = 16
__all__ = ["EVICTION_REMEDY", "Redis", "connect", "eviction", "options", "tls_options", "unsafe", "warn_of_eviction"]
EVICTION_REMEDY = "CONFIG SET maxmemory-policy noeviction, and put it into its configuration"


def connect(settings: Settings) -> Redis:
    """Return a client of the store. It connects at the first command. A command is tried once more when its
    connection breaks.

    Raises NotPrivate when the embedded store's socket would be in a folder that another user has put there.
    """
    if settings.socket_is_elsewhere:
        with suppress(OSError):  # without the folder there is no store; the first command says so
            os.close(private.open_folder(settings.socket_path.parent))
    retry = OnceMore()
    retry.pool = pool = WaryPool(
        connection_class=_connection_class(settings.store),
        **options(settings.store),
        max_connections=_CONNECTIONS,
        timeout=_TIMEOUT_S,
        socket_timeout=_TIMEOUT_S,
        socket_connect_timeout=_CONNECT_S,
        health_check_interval=15,
        retry=retry,
    )
    return Redis.from_pool(pool)  # the client owns the pool, so `aclose` closes its connections


def options(address: RedisAddress) -> dict[str, Any]:
    """Return what redis-py must know to reach this address, by its names."""
    place = {"path": address.socket} if address.socket else {"host": address.host, "port": address.port}
    login = {"username": address.username, "password": address.password, "db": address.database}
    return place | login | (tls_options(address.tls) if address.tls else {})


def tls_options(tls: Tls) -> dict[str, Any]:
    """Return what redis-py must know of TLS, by its names, which are kombu's, too."""
    return {
        "ssl_cert_reqs": "required" if tls.verify else "none",
        "ssl_check_hostname": tls.check_host,
        "ssl_ca_certs": tls.authorities,
        "ssl_certfile": tls.certificate,
        "ssl_keyfile": tls.key,
    }


def _connection_class(address: RedisAddress) -> type[AbstractConnection]:
    if address.socket:
        return UnixDomainSocketConnection
    return SSLConnection if address.tls else Connection


def eviction(info: Mapping[str, Any]) -> str | None:
    """Return what is wrong when the store evicts keys under memory pressure, by its INFO; None when it does not."""
    policy = info.get("maxmemory_policy", "noeviction")
    if policy == "noeviction":
        return None
    return f"maxmemory-policy is {policy}: under pressure the store throws closures away"


def unsafe(info: Mapping[str, Any]) -> bool:
    """Return whether the store, by its INFO, may lose what it has confirmed."""
    failed = any(info.get(name, "ok") != "ok" for name in ("aof_last_write_status", "rdb_last_bgsave_status"))
    return failed or not info.get("aof_enabled") or eviction(info) is not None


async def warn_of_eviction(redis: Redis) -> None:
    """Log a warning when the store evicts keys. Log nothing when the store does not answer or may not be asked."""
    try:
        problem = eviction(await redis.info("memory"))
    except (RedisError, OSError):
        return
    if problem:
        _log.warning("%s; %s", problem, EVICTION_REMEDY)
