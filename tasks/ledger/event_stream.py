"""The streams that events come on, by the store's stream commands (XREADGROUP, XAUTOCLAIM, XINFO GROUPS)."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError, ResponseError

from tasks.ledger.scripts import Scripts, shown, translated

_COUNT_MOST = 10_000
# All workers share one name. It does not matter who read an entry, only how long ago.
_CONSUMER = "intake"

Entry = tuple[bytes, dict[bytes, bytes] | None]


@dataclass(frozen=True, slots=True)
class StreamGroup:
    """A consumer group of a stream.

    `events`: how many it has not read or not acknowledged. Where the store does not know, at most 10,000 unread ones
    are counted. `oldest_ms`: when the oldest of them came (ms since the epoch); None when there are none.
    """

    name: str
    events: int
    oldest_ms: int | None


class EventStreams:
    """Reads, acknowledges and writes events on streams. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts, group: str) -> None:
        """`group`: the name of this fleet's consumer group."""
        self._scripts = scripts
        self._group = group

    async def take_off(self, stream: str, entry_ids: Sequence[bytes]) -> int:
        """Acknowledge entries of a stream, and delete those that no consumer group needs any more.

        Without entries it only deletes. Returns how many other consumer groups the stream has.
        """
        others: int = await self._scripts.run("take_off", self._group, *entry_ids, keys=(stream,))
        return others

    async def seen(self, types: Sequence[str]) -> None:
        """Remember that events of these types have come. `closer status` shows the types of the last day."""
        await self._scripts.run("seen", *types)

    async def publish(self, stream: str, events: Sequence[bytes]) -> list[str]:
        """Put events on a stream, in order, all of them or none. Return the ids of their entries."""
        ids: list[bytes] = await self._scripts.run("publish", *events, keys=(stream,))
        return [entry_id.decode() for entry_id in ids]

    async def groups(self, stream: str) -> list[StreamGroup]:
        """Return the consumer groups of a stream, including other programs'. Empty when there is no such stream."""
        redis = self._scripts.redis
        if not await self._scripts.ask(redis.exists(stream)):
            return []
        groups: Any = await self._scripts.ask(redis.xinfo_groups(stream))
        return [await self._look(stream, group) for group in groups]

    async def _look(self, stream: str, group: dict[str, Any]) -> StreamGroup:
        name, read, lag = group["name"], group["last-delivered-id"].decode(), group["lag"]
        ask, redis = self._scripts.ask, self._scripts.redis
        unread: Any = await ask(redis.xrange(stream, f"({read}", "+", count=1 if lag else _COUNT_MOST))
        held: Any = await ask(redis.xpending(stream, name))
        # The store does not know the lag where entries were deleted (see XINFO GROUPS). The entries are counted then.
        events = (lag or len(unread)) + held["pending"]
        ids = [entry_id for entry_id, _ in unread[:1]] + ([held["min"]] if held["pending"] else [])
        oldest_ms = min((int(entry_id.partition(b"-")[0]) for entry_id in ids), default=None)
        return StreamGroup(shown(name), events, oldest_ms)

    async def read(self, stream: str, *, count: int, block_ms: int) -> list[Entry]:
        """Return up to `count` entries that no worker of this fleet has read. Waits up to `block_ms` for one."""
        redis = self._scripts.redis
        command = redis.xreadgroup(self._group, _CONSUMER, {stream: ">"}, count=count, block=block_ms)
        return [entry for _, entries in _pairs(await self._of_group(stream, command)) for entry in entries]

    async def abandoned(self, stream: str, *, count: int, idle_ms: int) -> list[Entry]:
        """Return up to `count` entries that were read `idle_ms` or more ago and never acknowledged, and take them over.

        Their worker died, or could not reach the store. So no entry depends on the process that read it.
        """
        command = self._scripts.redis.xautoclaim(stream, self._group, _CONSUMER, idle_ms, count=count)
        reply = await self._of_group(stream, command)
        return list(reply[1]) if reply else []

    async def _of_group(self, stream: str, command: Awaitable[Any]) -> Any:
        """Return the reply to a command that needs our group. Where there is no group, create it and return None."""
        try:
            return await command
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise translated(error, self._scripts.prefix) from error
        except (RedisError, OSError) as error:
            raise translated(error, self._scripts.prefix) from error
        await self.create_group(stream)
        return None

    async def create_group(self, stream: str) -> None:
        """Create our consumer group, and the stream if there is none. Does nothing when the group exists.

        The group reads from the beginning, because events may have come before the first worker started.
        """
        try:
            await self._scripts.redis.xgroup_create(stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise translated(error, self._scripts.prefix) from error
        except (RedisError, OSError) as error:
            raise translated(error, self._scripts.prefix) from error


def _pairs(reply: Any) -> list[tuple[bytes, list[Entry]]]:
    """Read XREADGROUP's reply, which is a list in RESP2 and a map in RESP3."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [(name, chunks[0] if chunks else []) for name, chunks in reply.items()]
    return list(reply)
