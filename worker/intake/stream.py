"""Events from a Redis stream: any program that can XADD is a source."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from tasks.event import GroupComplete, Rejection, parse
from tasks.ledger import Ledger
from tasks.scripts import unavailable

GROUP = "closer"
# One name for all workers: who read an entry does not matter, only for how long it has been left in hand.
_CONSUMER = "intake"
FIELD = b"event"
_BATCH = 500
_BLOCK_MS = 1_000
_ABANDONED_MS = 15_000
_LOOK_FOR_ABANDONED_S = 10.0

Entry = tuple[bytes, dict[bytes, bytes] | None]


class StreamIntake:
    """Takes events off the stream into the ledger. `received` is called when there is something to dispatch."""

    def __init__(self, redis: Redis, ledger: Ledger, stream: str, received: Callable[[], None]) -> None:
        self._redis = redis
        self._ledger = ledger
        self._stream = stream
        self._received = received
        self._looked = float("-inf")

    async def step(self) -> None:
        """Take in what there is, waiting up to a second for it. Raises StoreUnavailable.

        A crash between receiving and acknowledging delivers the entry again, and the ledger finds a duplicate.
        """
        try:
            await self._take(await self._abandoned())
            await self._take(await self._new())
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise unavailable(error) from error
            await self._create_group()
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    async def backlog(self) -> int:
        """Events on the stream that the ledger has not yet."""
        try:
            return int(await self._redis.xlen(self._stream))
        except (RedisError, OSError) as error:
            raise unavailable(error) from error

    async def _new(self) -> list[Entry]:
        reply: Any = await self._redis.xreadgroup(GROUP, _CONSUMER, {self._stream: ">"}, count=_BATCH, block=_BLOCK_MS)
        return [entry for _, entries in _pairs(reply) for entry in entries]

    async def _abandoned(self) -> list[Entry]:
        """Entries that a worker read and left: it died, or could not reach the store."""
        if time.monotonic() - self._looked < _LOOK_FOR_ABANDONED_S:
            return []
        reply: Any = await self._redis.xautoclaim(self._stream, GROUP, _CONSUMER, _ABANDONED_MS, count=_BATCH)
        if len(reply[1]) < _BATCH:
            self._looked = time.monotonic()
        return list(reply[1])

    async def _take(self, entries: list[Entry]) -> None:
        good: list[GroupComplete] = []
        done: list[bytes] = []
        for entry_id, fields in entries:
            event = self._parse(entry_id, fields)
            if isinstance(event, Rejection):
                await self._ledger.reject(_bytes(fields), event, entry_id.decode(), self._stream, GROUP)
            else:
                good.append(event)
                done.append(entry_id)
        if good:
            await self._ledger.receive(good)
            self._received()
            await self._acknowledge(done)

    def _parse(self, entry_id: bytes, fields: dict[bytes, bytes] | None) -> GroupComplete | Rejection:
        if not fields or FIELD not in fields:
            return Rejection(("event: the stream's entry has no field of this name",))
        return parse(fields[FIELD], source=self._stream, event_id=entry_id.decode())

    async def _acknowledge(self, entry_ids: list[bytes]) -> None:
        async with self._redis.pipeline(transaction=True) as pipe:
            pipe.xack(self._stream, GROUP, *entry_ids)
            pipe.xdel(self._stream, *entry_ids)
            await pipe.execute()

    async def _create_group(self) -> None:
        """From the stream's beginning: events may have come before the first worker."""
        try:
            await self._redis.xgroup_create(self._stream, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise unavailable(error) from error


def _pairs(reply: Any) -> list[tuple[bytes, list[Entry]]]:
    """XREADGROUP's reply in RESP2 (a list) or RESP3 (a map)."""
    if not reply:
        return []
    if isinstance(reply, dict):
        return [(name, chunks[0] if chunks else []) for name, chunks in reply.items()]
    return list(reply)


def _bytes(fields: dict[bytes, bytes] | None) -> bytes:
    """What to keep of an entry: the event's own bytes, or all its fields when there is no such one."""
    if fields and FIELD in fields:
        return fields[FIELD]
    readable = {name.decode("utf-8", "backslashreplace"): value.decode("utf-8", "backslashreplace")
                for name, value in (fields or {}).items()}  # fmt: skip
    return json.dumps(readable).encode()
