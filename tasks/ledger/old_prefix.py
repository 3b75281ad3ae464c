"""Moves a ledger from the key prefix of older releases, `closer:`, to that of the default namespace.

A crash in the middle is safe. The records are renamed first, in small steps, and no worker starts before the move ends.
The other keys follow in one transaction. They alone tell that there is something to move, so a move that was cut short
begins again and finds fewer records. No key is ever overwritten, except a new gate that holds only the clock.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Sequence
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError, WatchError

from tasks.closure import Reason, State
from tasks.errors import ConfigurationError
from tasks.ledger.scripts import translated
from tasks.namespace import DEFAULT_NAMESPACE

OLD_PREFIX = "closer:"
_NAMES = (
    *(state.value for state in State),
    *(f"failed:{reason.value}" for reason in Reason),
    *("agenda", "dispatched", "open", "audit", "gate", "policy", "workers", "rejected", "rejected_once"),
    *("seen_types", "waiting_types", "inspection", "shared", "reconsider", "notices", "told"),
)
_FOUND_BY_SCAN = ("c:", "forbidden:")  # one record for each group; the groups that an API key was refused for
_ONLY_CLOCK = {b"clock", b"moved"}  # any command of this release may have written these before the move
_STEP = 1000  # keys that one command looks at and the next one renames
_ALIVE_MS = 60_000
_HOW = "docs/upgrading.md tells how"


class OldLedger:
    """The ledger of an older release in this store. Every method may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    async def exists(self) -> bool:
        """Return whether there is one. This takes one command, however large the store is."""
        try:
            return bool(await self._redis.exists(*map(_old, _NAMES)))
        except (RedisError, OSError) as error:
            raise translated(error, OLD_PREFIX) from error

    async def move(self) -> int:
        """Rename its keys to those of the default namespace, and return how many records this process renamed.

        Several workers may do this at the same time. Raises ConfigurationError, which says what to do, while a worker
        of the older release may be alive, or when both ledgers hold something.
        """
        try:
            await self._refuse()
            moved = await self._move_records()
            while not await self._move_the_rest():
                pass
        except (RedisError, OSError) as error:
            raise translated(error, OLD_PREFIX) from error
        return moved

    async def _refuse(self) -> None:
        """Raise ConfigurationError when nothing may be moved now."""
        if alive := await self._alive():
            raise ConfigurationError(
                f"this store holds the ledger of an older release (its keys begin with {OLD_PREFIX}), and its worker "
                f"{alive[0]} gave a sign of life in the last minute; stop every worker of the older release, wait a "
                f"minute if one was killed, then start this one again: {_HOW}"
            )
        async with self._redis.pipeline(transaction=True) as pipe:  # another worker may end its move meanwhile
            for name in _NAMES:
                pipe.exists(_old(name))
                pipe.exists(_new(name))
            pipe.hkeys(_new("gate"))
            *there, gate = await pipe.execute()
        both = [name for name, old, new in zip(_NAMES, there[::2], there[1::2], strict=True) if old and new]
        _refuse_both([name for name in both if name != "gate" or not _ONLY_CLOCK.issuperset(gate)])

    async def _alive(self) -> list[str]:
        seconds, _ = await self._redis.time()
        signs: Any = await cast("Awaitable[Any]", self._redis.hgetall(_old("workers")))
        return sorted(
            name.decode("utf-8", "backslashreplace")
            for name, said in signs.items()
            if abs(seconds * 1000 - _said_at_ms(said)) < _ALIVE_MS
        )

    async def _move_records(self) -> int:
        """Rename all records, and return how many. A record that is gone was just renamed by another worker."""
        cursor, moved = 0, 0
        while True:
            keys: Any
            cursor, keys = await self._redis.scan(cursor, match=_old("*"), count=_STEP)
            names = [key.decode("utf-8", "surrogateescape").removeprefix(OLD_PREFIX) for key in keys]
            moved += await self._rename([name for name in names if name.startswith(_FOUND_BY_SCAN)])
            if cursor == 0:
                return moved

    async def _rename(self, names: Sequence[str]) -> int:
        async with self._redis.pipeline(transaction=False) as pipe:
            for name in names:
                pipe.renamenx(_bytes(_old(name)), _bytes(_new(name)))
            replies = await pipe.execute(raise_on_error=False)
        for reply in replies:
            if isinstance(reply, Exception) and not _is_gone(reply):
                raise reply
        _refuse_both([name for name, reply in zip(names, replies, strict=True) if reply in (0, False)])
        return sum(1 for reply in replies if not isinstance(reply, Exception))

    async def _move_the_rest(self) -> bool:
        """Rename all other keys in one transaction. Return False to try again: somebody changed one meanwhile."""
        async with self._redis.pipeline(transaction=True) as pipe:
            await pipe.watch(*map(_old, _NAMES), *map(_new, _NAMES))
            await self._refuse()
            names = [name for name in _NAMES if await pipe.exists(_old(name))]
            return await _rename_together(pipe, names)


async def _rename_together(pipe: Pipeline, names: Sequence[str]) -> bool:
    pipe.multi()  # type: ignore[no-untyped-call]
    for name in names:
        # RENAME overwrites. `_refuse` has made sure that the only new key is a gate that holds only the clock.
        pipe.rename(_old(name), _new(name))
    try:
        await pipe.execute()
    except WatchError:
        return False
    return True


def _refuse_both(names: Sequence[str]) -> None:
    if names:
        raise ConfigurationError(
            f"this store holds two ledgers: {_old(names[0])}, of an older release, and {_new(names[0])}; nothing is "
            f"overwritten, so they must be made one by hand: {_HOW} (Two ledgers)"
        )


def _old(name: str) -> str:
    return OLD_PREFIX + name


def _new(name: str) -> str:
    return DEFAULT_NAMESPACE.prefix + name


def _bytes(key: str) -> bytes:
    """Turn a key back into the store's bytes. Another program may have put any bytes into its name."""
    return key.encode("utf-8", "surrogateescape")


def _is_gone(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "no such key" in str(error)


def _said_at_ms(said: bytes) -> float:
    """Return when a worker said this (ms since the epoch), or 0 when it cannot be read."""
    try:
        return float(json.loads(said)["at"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0.0
