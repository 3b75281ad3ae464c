"""Finds other fleets that read this fleet's stream. Two fleets on one stream would close each other's groups."""

from __future__ import annotations

import shlex
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from tasks.ledger.scripts import translated
from tasks.namespace import Namespace, is_closers_group


async def other_fleets(redis: Redis, stream: str, ours: Namespace) -> list[str]:
    """Return the names of the consumer groups that other fleets of closer have on this stream.

    Groups of other programs are left out. Raises StoreUnavailable and LedgerBroken.
    """
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
    """Return a sentence that says that another fleet, with this consumer group, reads the stream."""
    return f"the stream {stream} is read by another fleet of closer's too (its consumer group is {group})"


def remedy(stream: str, group: str) -> str:
    """Return what an operator can do about it, with the store's command that removes the group."""
    command = shlex.join(["XGROUP", "DESTROY", stream, group])
    return (
        "each of the two would close all groups, at its own account; give each fleet a stream of its own "
        "(CLOSER_EVENTS_STREAM; unset, it follows CLOSER_NAMESPACE), or set the CLOSER_NAMESPACE that this fleet had "
        f"before; if the other fleet is gone for good: {command}"
    )
