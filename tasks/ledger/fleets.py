"""Other fleets of closer's on the stream of this one: two that share a stream would close each other's groups."""

from __future__ import annotations

import shlex
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from tasks.ledger.scripts import translated
from tasks.namespace import Namespace, is_closers_group


async def other_fleets(redis: Redis, stream: str, ours: Namespace) -> list[str]:
    """The consumer groups of other fleets of closer's on this stream. Raises StoreUnavailable and LedgerBroken."""
    try:
        groups: Any = await redis.xinfo_groups(stream)
    except ResponseError as error:
        if "no such key" in str(error):
            return []
        raise translated(error, ours.prefix) from error
    except (RedisError, OSError) as error:
        raise translated(error, ours.prefix) from error
    names = [group["name"].decode("utf-8", "backslashreplace") for group in groups]
    return [name for name in names if is_closers_group(name) and name != ours.group]


def shared_stream(stream: str, group: str) -> str:
    """What it means that another fleet's group is on the stream."""
    return f"the stream {stream} is read by another fleet of closer's too (its consumer group is {group})"


def remedy(stream: str, group: str) -> str:
    """What to do about it, with a command of the store's."""
    command = shlex.join(["XGROUP", "DESTROY", stream, group])
    return (
        "each of the two would close all groups, at its own account; give each fleet a stream of its own "
        "(CLOSER_EVENTS_STREAM; unset, it follows CLOSER_NAMESPACE), or set the CLOSER_NAMESPACE that this fleet had "
        f"before; if the other fleet is gone for good: {command}"
    )
