"""Moves a ledger from the key prefix of older releases, `closer:`, to that of the default namespace.

A crash in the middle is safe. The records are renamed first, in small steps, and no worker starts before the move ends.
The other keys follow in one transaction, which also seals the old prefix. They alone tell that there is something to
move, so a move that was cut short begins again and finds fewer records. No key is ever overwritten, except a new gate
that holds only the clock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError, WatchError

from tasks.errors import ConfigurationError
from tasks.ledger.old_prefix import NAMES, OLD_PREFIX, SEAL, SEALED_VALUES, OldLook, OldState, look, new_key, old_key
from tasks.ledger.scripts import translated

_FOUND_BY_SCAN = ("c:", "forbidden:")  # one record for each group; the groups that an API key was refused for
_STEP = 1000  # keys that one command looks at and the next one renames
_HOW = "docs/upgrading.md tells how"


async def move(redis: Redis) -> int:
    """Rename the old ledger's keys, seal its prefix, and return how many records this process renamed.

    Several workers may do this at the same time. Raises ConfigurationError, which says what to do, while a worker of
    the older release may be alive, or when both ledgers hold something. Raises StoreUnavailable and LedgerBroken.
    """
    try:
        _refuse(await look(redis))
        moved = await _move_records(redis)
        while not await _move_the_rest(redis):
            pass
    except (RedisError, OSError) as error:
        raise translated(error, OLD_PREFIX) from error
    return moved


def _refuse(found: OldLook) -> None:
    """Raise ConfigurationError when nothing may be moved now."""
    if found.alive:
        raise ConfigurationError(
            f"this store holds the ledger of an older release (its keys begin with {OLD_PREFIX}), and its worker "
            f"{found.alive[0].name} gave a sign of life in the last minute; stop every worker of the older release, "
            f"wait a minute if one was killed, then start this one again: {_HOW}"
        )
    _refuse_both(found.both or (found.held if found.state is OldState.BESIDE else ()))


async def _move_records(redis: Redis) -> int:
    """Rename all records, and return how many. A record that is gone was just renamed by another worker."""
    cursor, moved = 0, 0
    while True:
        keys: Any
        cursor, keys = await redis.scan(cursor, match=old_key("*"), count=_STEP)
        names = [key.decode("utf-8", "surrogateescape").removeprefix(OLD_PREFIX) for key in keys]
        moved += await _rename(redis, [name for name in names if name.startswith(_FOUND_BY_SCAN)])
        if cursor == 0:
            return moved


async def _rename(redis: Redis, names: Sequence[str]) -> int:
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.renamenx(_bytes(old_key(name)), _bytes(new_key(name)))
        replies = await pipe.execute(raise_on_error=False)
    for reply in replies:
        if isinstance(reply, Exception) and not _is_gone(reply):
            raise reply
    _refuse_both([name for name, reply in zip(names, replies, strict=True) if reply in (0, False)])
    return sum(1 for reply in replies if not isinstance(reply, Exception))


async def _move_the_rest(redis: Redis) -> bool:
    """Rename all other keys in one transaction. Return False to try again: somebody changed one meanwhile."""
    async with redis.pipeline(transaction=True) as pipe:
        await pipe.watch(*map(old_key, NAMES), *map(new_key, NAMES))
        found = await look(redis)
        _refuse(found)
        if found.state is OldState.NOTHING:  # another worker has ended the move
            return True
        return await _rename_together(pipe, found.movable)


async def _rename_together(pipe: Pipeline, names: Sequence[str]) -> bool:
    pipe.multi()  # type: ignore[no-untyped-call]
    for name in names:
        # RENAME overwrites. `_refuse` has made sure that the only new key is a gate that holds only the clock.
        pipe.rename(old_key(name), new_key(name))
    pipe.hset(old_key("policy"), "api", SEAL)
    for name in SEALED_VALUES:
        pipe.set(old_key(name), SEAL)
    try:
        await pipe.execute()
    except WatchError:
        return False
    return True


def _refuse_both(names: Sequence[str]) -> None:
    if names:
        raise ConfigurationError(
            f"this store holds two ledgers: {old_key(names[0])}, of an older release, and that of this release "
            f"({new_key(names[0])}); nothing is overwritten, so they must be made one by hand: {_HOW} (Two ledgers)"
        )


def _bytes(key: str) -> bytes:
    """Turn a key back into the store's bytes. Another program may have put any bytes into its name."""
    return key.encode("utf-8", "surrogateescape")


def _is_gone(error: Exception) -> bool:
    return isinstance(error, ResponseError) and "no such key" in str(error)
