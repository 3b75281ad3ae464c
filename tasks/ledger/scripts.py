"""The ledger's Lua scripts: loaded from `lua/`, run by their hash, with the store's errors translated."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from redis.asyncio import Redis
from redis.commands.core import AsyncScript
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    DataError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from tasks.errors import CloserError, LedgerBroken, NewerLedger, StoreUnavailable
from tasks.ledger.version import LEDGER_VERSION, OLDEST_BESIDE

_FOLDER = Path(__file__).parent / "lua"
# In this order: a part uses those before it.
_LIBRARY = ("base", "notices", "damage", "record", "audit", "gate", "keys", "clock", "inspection", "stream")
_SHEBANG = "#!lua"
_READS = "no-writes"
# For how long a process that has never looked at the store's clock waits for a worker to do so; they look every second.
_NEWCOMER_PAUSE_S, _NEWCOMER_TRIES = 0.2, 20
_FORBIDDEN = "its ACL does not let this user run scripts on the keys {prefix}*; docs/operating.md has its rule"
# What the store says when it cannot do anything now, by the client's error or the reply's first words, and the remedy.
_REMEDIES: dict[type[RedisError] | str, str] = {
    OutOfMemoryError: "it is out of memory; raise maxmemory or free some, and keep maxmemory-policy noeviction",
    ReadOnlyError: "it is a read-only replica; point CLOSER_REDIS_URL at the primary",
    BusyLoadingError: "it is loading its data; wait",
    NoPermissionError: _FORBIDDEN,
    "ACL failure": _FORBIDDEN,
    AuthenticationError: "it refuses the user or password in CLOSER_REDIS_URL",
    "MISCONF": "it cannot write to its disk; look at its log and its disk space",
    "BUSY": "it is busy with a script; wait",
    "NOREPLICAS": "too few of its replicas are connected; look at them, or at its setting min-replicas-to-write",
    ClusterCrossSlotError: "it is a cluster, which closer does not support; point CLOSER_REDIS_URL at a single primary",
    "Script attempted to access": "it is a cluster, which closer does not support; use a single primary",
    "DENIED": "it is in protected mode; set a password, or let it listen where only closer can reach it",
}
# From lua/lib/base.lua, as the store passes it on. At the text's beginning only: an error may quote foreign words.
_NEWER = re.compile(r"(?:ERR )?(?:Error running script \(call to \w+\): @user_script:[\d?]+: )?NEWERLEDGER (\d+)")
_WRONG_TYPE = re.compile(r"WRONGTYPE (?P<key>\S+) is a (?P<kind>\w+), not")
_SOMETHING_ELSE = "the store refuses: a key of closer's holds something else ({}); "
_SHARED = "is this database shared with another program?"


class Look(NamedTuple):
    """A look at the store's clock: when it was asked for, by a clock that nobody sets, and what came back.

    `stood`: where the clock stood (ms). `moved`: by how much all plans had been moved along with it until then (ms).
    """

    asked_s: float
    stood: bytes
    moved: bytes


class Scripts:
    """Runs scripts by name; every key is built from `prefix`."""

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        deadline_s: float,
        clock: Callable[[], int] | None,
        stopwatch: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """For tests: `clock` (ms) replaces the store's clock, `stopwatch` (s) what its jumps are told by, `sleep`."""
        self.redis = redis
        self.prefix = prefix
        self._span_ms = int(deadline_s * 1000)
        self._clock = clock
        self._stopwatch = stopwatch or (None if clock else _uptime_s)
        self._sleep = sleep
        self._look: Look | None = None
        self._loaded: dict[str, AsyncScript] = {}

    def key(self, name: str) -> str:
        """The key of this name."""
        return self.prefix + name

    async def ask(self, command: Any) -> Any:
        """Wait for a command's reply. Raises StoreUnavailable or LedgerBroken."""
        try:
            return await command
        except (RedisError, OSError, UnicodeError) as error:
            raise translated(error, self.prefix) from error

    async def run(self, name: str, *arguments: Any, keys: tuple[str, ...] = ()) -> Any:
        """Run a script atomically. Raises StoreUnavailable or LedgerBroken, each with its remedy."""
        if _only_reads(name):
            return await self._send(name, "||", keys, arguments)
        tries = 0
        while True:  # the last try is never sent away
            asked_s = self._stopwatch() if self._stopwatch else None
            reply = await self._send(name, self._told(asked_s, waited=tries == _NEWCOMER_TRIES), keys, arguments)
            if reply:
                return self._remember(asked_s, *reply)
            tries += 1
            await self._sleep(_NEWCOMER_PAUSE_S)

    def _remember(self, asked_s: float | None, stood: bytes, moved: bytes, result: Any) -> Any:
        if asked_s is not None:
            self._look = Look(asked_s, stood, moved)
        return result

    async def _send(self, name: str, told: str, keys: tuple[str, ...], arguments: tuple[Any, ...]) -> Any:
        script = self._loaded.get(name)
        if script is None:
            script = self._loaded[name] = self.redis.register_script(source(name))
        now = self._clock() if self._clock else ""
        try:
            return await script([self.prefix, *keys], [f"{now}|{told}", self._span_ms, *arguments])
        except (RedisError, OSError, UnicodeError) as error:
            raise translated(error, self.prefix) from error

    def _told(self, asked_s: float | None, *, waited: bool) -> str:
        """What this process knows of the store's clock, for `lua/lib/clock.lua`."""
        if asked_s is None:
            return "||"
        if self._look is None:
            return "waited||" if waited else "never||"
        since_ms = max(0, int((asked_s - self._look.asked_s) * 1000))
        return f"{since_ms}|{self._look.stood.decode()}|{self._look.moved.decode()}"


def names() -> list[str]:
    """The names of all scripts."""
    return sorted(path.stem for path in _FOLDER.glob("*.lua"))


def pieces(name: str) -> list[tuple[str, str]]:
    """What a script is put together from, in order: each piece's file, relative to `lua/`, and its text.

    First its shebang line, then the library that all share, then its body. A script that writes has looked at the
    store's clock, so it returns what it saw there, and then its own reply.
    """
    file = f"{name}.lua"
    body = (_FOLDER / file).read_text("utf-8")
    shebang = _SHEBANG
    if body.startswith(_SHEBANG):
        # `#!lua` makes the store refuse the script as a whole when it is out of memory or read-only:
        # without it, the first half of a script would be written and the rest not.
        shebang, _, body = body.partition("\n")
        body = "\n" + body  # so that its lines keep their numbers
    version = f"local VERSION, OLDEST_BESIDE = {LEDGER_VERSION}, {OLDEST_BESIDE}"
    library = [("lib/version", version)]
    library += [(f"lib/{part}.lua", (_FOLDER / "lib" / f"{part}.lua").read_text("utf-8")) for part in _LIBRARY]
    if _READS in shebang:
        return [(file, shebang), *library, (file, body)]
    return [(file, shebang), *library, (file, f"local function body(){body}\nend\nreturn with_look(body())")]


@cache
def source(name: str) -> str:
    """The whole text of a script, as the store gets it."""
    return "\n".join(text for _, text in pieces(name))


@cache
def _only_reads(name: str) -> bool:
    return _READS in source(name).partition("\n")[0]


def _uptime_s() -> float:
    """Seconds that no clock's being set changes; they go on while the machine sleeps, where the system tells that."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def translated(error: Exception, prefix: str = "{CLOSER_NAMESPACE}:") -> CloserError:
    """An error of the store's client in words: what is wrong, and what to do next.

    `prefix`: what the keys of the fleet begin with.
    """
    text = str(error) or type(error).__name__
    if newer := _NEWER.match(text):
        return NewerLedger(int(newer[1]), LEDGER_VERSION)
    for sign, remedy in _REMEDIES.items():
        if (text.startswith(sign) or f"-{sign} " in text) if isinstance(sign, str) else isinstance(error, sign):
            return StoreUnavailable(f"the store refuses: {remedy.replace('{prefix}', prefix)}")
    if "WRONGTYPE" in text:  # a pipeline puts the command before it
        return LedgerBroken(_wrong_type(text))
    # Subclasses of ResponseError are states of the store that pass: it moves, fails over, or has lost its scripts.
    if type(error) is ResponseError or isinstance(error, DataError | UnicodeError):
        return LedgerBroken(
            f"a script of the ledger failed, and wrote nothing ({type(error).__name__}: {text}); this is a fault of "
            "closer's: report it with this line"
        )
    return StoreUnavailable(f"the store does not answer ({type(error).__name__}: {text})")


def _wrong_type(text: str) -> str:
    """Name the key, where the script that found it has told, and how to move it out of the way."""
    found = _WRONG_TYPE.match(text)
    if found is None:
        return _SOMETHING_ELSE.format("`closer check` names it") + _SHARED
    key, kind = found.groups()
    return _SOMETHING_ELSE.format(f"{key} is a {kind}") + (
        f"{_SHARED} Give closer a database of its own. RENAME {key} {key}.foreign keeps what the other program wrote, "
        "and the workers go on by themselves"
    )


def shown(raw: bytes) -> str:
    """Bytes of the store as text; what is not UTF-8 is escaped, for another program may have written them."""
    return raw.decode("utf-8", "backslashreplace")
