"""The ledger's Lua scripts: loaded from `lua/`, run by their hash, with the store's errors translated."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
)

from tasks.errors import StoreUnavailable

_FOLDER = Path(__file__).parent / "lua"
_SHEBANG = "#!lua"
# What the store says, by the client's error or the first word of its reply, and what an operator does about it.
_REMEDIES: dict[type[RedisError] | str, str] = {
    OutOfMemoryError: "it is out of memory; raise maxmemory or free some, and keep maxmemory-policy noeviction",
    ReadOnlyError: "it is a read-only replica; point CLOSER_REDIS_URL at the primary",
    BusyLoadingError: "it is loading its data; wait",
    NoPermissionError: "its ACL does not let this user run scripts on the keys closer:*",
    AuthenticationError: "it refuses the user or password in CLOSER_REDIS_URL",
    "MISCONF": "it cannot write to its disk; look at its log and its disk space",
    "BUSY": "it is busy with a script; wait",
    "WRONGTYPE": "a key of closer's holds something else; is this database shared with another program?",
}


class Scripts:
    """Runs scripts by name; every key is built from `prefix`."""

    def __init__(self, redis: Redis, prefix: str, deadline_s: float, clock: Callable[[], int] | None) -> None:
        self._redis = redis
        self._prefix = prefix
        self._span_ms = int(deadline_s * 1000)
        self._clock = clock
        self._loaded: dict[str, AsyncScript] = {}

    async def run(self, name: str, *arguments: Any, keys: tuple[str, ...] = ()) -> Any:
        """Run a script atomically. Raises StoreUnavailable, with the remedy, when the store does not do it."""
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = self._redis.register_script(source(name))
        now = self._clock() if self._clock else ""
        try:
            return await script([self._prefix, *keys], [now, self._span_ms, *arguments])
        except (RedisError, OSError) as error:
            raise unavailable(error) from error


@cache
def source(name: str) -> str:
    """The whole text of a script: its own shebang line, the shared beginning, its body."""
    body = (_FOLDER / f"{name}.lua").read_text()
    shebang = _SHEBANG
    if body.startswith(_SHEBANG):
        # `#!lua` makes the store refuse the script as a whole when it is out of memory or read-only:
        # without it, the first half of a script would be written and the rest not.
        shebang, _, body = body.partition("\n")
    return f"{shebang}\n{(_FOLDER / 'lib.lua').read_text()}\n{body}"


def unavailable(error: Exception) -> StoreUnavailable:
    """Translate an error of the store's client: what is wrong, and what to do next."""
    text = str(error) or type(error).__name__
    for sign, remedy in _REMEDIES.items():
        if (text.startswith(sign) or f"-{sign} " in text) if isinstance(sign, str) else isinstance(error, sign):
            return StoreUnavailable(f"the store refuses: {remedy}")
    return StoreUnavailable(f"the store does not answer ({type(error).__name__}: {text})")
