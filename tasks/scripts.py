"""The ledger's Lua scripts: loaded from `lua/`, run by their hash, with the store's errors translated."""

from __future__ import annotations

import time
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
_LIBRARY = ("base", "damage", "record", "audit", "gate", "clock")  # in this order: a part uses those before it
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

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        deadline_s: float,
        clock: Callable[[], int] | None,
        stopwatch: Callable[[], float] | None = None,
    ) -> None:
        """`clock` (ms) replaces the store's clock, `stopwatch` (s) what its jumps are told by; for tests."""
        self._redis = redis
        self._prefix = prefix
        self._span_ms = int(deadline_s * 1000)
        self._clock = clock
        self._stopwatch = stopwatch or (None if clock else _uptime_s)
        self._looked_s: float | None = None  # when the last script was sent that has looked at the store's clock
        self._loaded: dict[str, AsyncScript] = {}

    async def run(self, name: str, *arguments: Any, keys: tuple[str, ...] = ()) -> Any:
        """Run a script atomically. Raises StoreUnavailable, with the remedy, when the store does not do it."""
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = self._redis.register_script(source(name))
        now = self._clock() if self._clock else ""
        looks_s = self._stopwatch() if self._stopwatch and not _only_reads(name) else None
        try:
            reply = await script([self._prefix, *keys], [f"{now}|{self._since(looks_s)}", self._span_ms, *arguments])
        except (RedisError, OSError) as error:
            raise unavailable(error) from error
        if looks_s is not None:
            self._looked_s = looks_s
        return reply

    def _since(self, looks_s: float | None) -> str:
        """How long ago this process last looked at the store's clock, see `lua/lib/clock.lua`."""
        if looks_s is None:
            return ""
        return "-" if self._looked_s is None else str(max(0, int((looks_s - self._looked_s) * 1000)))


@cache
def source(name: str) -> str:
    """The whole text of a script: its own shebang line, the library that all share, its body."""
    body = (_FOLDER / f"{name}.lua").read_text("utf-8")
    shebang = _SHEBANG
    if body.startswith(_SHEBANG):
        # `#!lua` makes the store refuse the script as a whole when it is out of memory or read-only:
        # without it, the first half of a script would be written and the rest not.
        shebang, _, body = body.partition("\n")
    library = [(_FOLDER / "lib" / f"{part}.lua").read_text("utf-8") for part in _LIBRARY]
    return "\n".join([shebang, *library, body])


@cache
def _only_reads(name: str) -> bool:
    return "no-writes" in source(name).partition("\n")[0]


def _uptime_s() -> float:
    """Seconds that no clock's being set changes; they go on while the machine sleeps, where the system tells that."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def unavailable(error: Exception) -> StoreUnavailable:
    """Translate an error of the store's client: what is wrong, and what to do next."""
    text = str(error) or type(error).__name__
    for sign, remedy in _REMEDIES.items():
        if (text.startswith(sign) or f"-{sign} " in text) if isinstance(sign, str) else isinstance(error, sign):
            return StoreUnavailable(f"the store refuses: {remedy}")
    return StoreUnavailable(f"the store does not answer ({type(error).__name__}: {text})")
