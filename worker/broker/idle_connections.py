"""Drops a channel's idle connections to Redis when one of them breaks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from redis.backoff import NoBackoff
from redis.retry import Retry


def drop_idle(pool: Any) -> None:
    """Close the connections of redis-py's pool that nobody uses now. None: there is no pool yet."""
    if pool is not None:
        pool.disconnect(inuse_connections=False)


class DropsIdle(Retry):
    """Never tries again. After an error it drops the idle connections of a pool, for they are most likely dead, too.

    Otherwise each dead connection would hold up Celery's consumer for a whole time-out, one after the other.
    """

    def __init__(self, pool: Callable[[], Any]) -> None:
        """`pool`: returns redis-py's pool, or None before there is one."""
        super().__init__(NoBackoff(), 0)
        self._pool = pool

    def __deepcopy__(self, memo: dict[int, Any]) -> DropsIdle:
        """Return this object. redis-py copies it for each connection; it has no state of one connection's."""
        return self

    def call_with_retry(self, do: Any, fail: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
        """Do it once. The arguments are those of redis-py's `Retry`."""

        def failed(*details: Any) -> Any:
            drop_idle(self._pool())
            return fail(*details)

        return super().call_with_retry(do, failed, *arguments, **options)
