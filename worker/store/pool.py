"""A pool of connections to the store that a dead network cannot hold up for long."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from redis.exceptions import TimeoutError  # noqa: A004  (redis-py's own)

_PAUSE_S = 0.05


class WaryPool(BlockingConnectionPool):
    """Drops its idle connections when one breaks: what has cut one off has most likely cut off all of them.

    Otherwise each dead connection would cost its first user a whole time-out, one after the other.
    """

    def drops_idle(self) -> None:
        """Let no connection that is idle now be used again as it is."""
        for connection in self._available_connections:
            connection.mark_for_reconnect()  # type: ignore[no-untyped-call]

    async def ensure_connection(self, connection: Any) -> None:
        """Make the connection ready to be used; one that was dropped is made anew."""
        if connection.should_reconnect():
            await connection.disconnect(nowait=True)
        await super().ensure_connection(connection)


class OnceMore(Retry):
    """Tries a command once more when its connection breaks, after the pool has dropped its idle connections.

    Not after a time-out: the command says how much time has passed (`tasks.ledger.scripts`), and sent again ten seconds
    later it would look as if the store's clock had been set. Its sender tries again with what is true then.
    """

    def __init__(self) -> None:
        super().__init__(ConstantBackoff(_PAUSE_S), 1)
        self.pool: WaryPool | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> OnceMore:
        """Return this object. The client copies it for each connection; it has no state of one connection's."""
        return self

    async def call_with_retry(
        self, do: Callable[[], Awaitable[Any]], fail: Callable[..., Any], *arguments: Any, **options: Any
    ) -> Any:
        """Do it, and once more if that fails. The arguments are those of redis-py's `Retry`."""

        async def failed(error: Exception, *count: int) -> None:
            if self.pool is not None:
                self.pool.drops_idle()
            await fail(error, *count)
            if isinstance(error, TimeoutError):
                raise error

        return await super().call_with_retry(do, failed, *arguments, **options)
