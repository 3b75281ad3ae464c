"""The streams that events come on: entries that are done with are taken off, and types that came are noted."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import RedisError, ResponseError

from tasks.ledger.scripts import Scripts, shown, translated

_COUNT_MOST = 10_000
# One name for all workers: who read an entry does not matter, only for how long it has been left in hand.
_CONSUMER = "intake"

Entry = tuple[bytes, dict[bytes, bytes] | None]


@dataclass(frozen=True, slots=True)
class StreamGroup:
    """A consumer group: how many events it has not read or acknowledged, and when the oldest of them came (ms)."""

    name: str
    events: int
    oldest_ms: int | None


class EventStreams:
    """What closer does to streams of events. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts, group: str) -> None:
        """`group`: the name of our consumer group."""
        self._scripts = scripts
        self._group = group

    async def take_off(self, stream: str, entry_ids: Sequence[bytes]) -> int:
        """Acknowledge entries of a stream, and delete what no consumer group needs; returns how many others read it.

        Without entries it only looks for what other groups need no longer.
        """
        others: int = await self._scripts.run("take_off", self._group, *entry_ids, keys=(stream,))
        return others

    async def seen(self, types: Sequence[str]) -> None:
        """Write down that events of these types have come."""
        await self._scripts.run("seen", *types)

    async def publish(self, stream: str, events: Sequence[bytes]) -> None:
        """Put events on a stream, in order."""
        try:
            async with self._scripts.redis.pipeline(transaction=False) as pipe:
                for event in events:
                    pipe.xadd(stream, {"event": event})
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise translated(error, self._scripts.prefix) from error

    async def groups(self, stream: str) -> list[StreamGroup]:
        """The consumer groups of a stream, other programs' too; none where there is no such stream."""
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
        # The lag is not known to the store where somebody has deleted entries: then they are counted, up to a limit.
        events = (lag or len(unread)) + held["pending"]
        ids = [entry_id for entry_id, _ in unread[:1]] + ([held["min"]] if held["pending"] else [])
        oldest_ms = min((int(entry_id.partition(b"-")[0]) for entry_id in ids), default=None)
        return StreamGroup(shown(name), events, oldest_ms)

    async def read(self, stream: str, *, count: int, block_ms: int) -> list[Entry]:
        """Up to `count` entries that nobody has read for us; waits up to `block_ms` for one."""
        redis = self._scripts.redis
        command = redis.xreadgroup(self._group, _CONSUMER, {stream: ">"}, count=count, block=block_ms)
        return [entry for _, entries in _pairs(await self._of_group(stream, command)) for entry in entries]

    async def abandoned(self, stream: str, *, count: int, idle_ms: int) -> list[Entry]:
        """Up to `count` entries that were read so long ago and left: the worker died, or could not reach the store."""
        command = self._scripts.redis.xautoclaim(stream, self._group, _CONSUMER, idle_ms, count=count)
        reply = await self._of_group(stream, command)
        return list(reply[1]) if reply else []

    async def _of_group(self, stream: str, command: Awaitable[Any]) -> Any:
        """The reply to a command that needs our group; None where there was no group, and it has been made."""
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
        """From the stream's beginning: events may have come before the first worker."""
        try:
            await self._scripts.redis.xgroup_create(stream, self._group, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise translated(error, self._scripts.prefix) from error
        except (RedisError, OSError) as error:
            raise translated(error, self._scripts.prefix) from error


def _pairs(reply: Any) -> list[tuple[bytes, list[Entry]]]:
    """XREADGROUP's reply in RESP2 (a list) or RESP3 (a map)."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [(name, chunks[0] if chunks else []) for name, chunks in reply.items()]
    return list(reply)
