"""Runs the ledger's Lua scripts from `lua/` by their hash, and translates the store's errors into closer's own."""

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
    ClusterDownError,
    DataError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)

from tasks.errors import CloserError, LedgerBroken, NewerLedger, StoreUnavailable
from tasks.ledger.version import LEDGER_VERSION, OLDEST_BESIDE

_FOLDER = Path(__file__).parent / "lua"
# The parts that every script has. The order matters: each uses those before it.
_LIBRARY = (
    "base", "tally", "notices", "damage", "holds", "bulk", "record", "audit", "gate", "keys", "clock", "rise",
)  # fmt: skip
# The parts that only some scripts have, because the store makes each of their functions anew in every call. A script
# names them in a line "-- Uses lib/…".
_FURTHER = ("bulk_verbs", "holding", "cancel", "reconciling", "stepping", "inspection", "stream", "letters")
_USES = re.compile(r"^-- Uses (lib/.+)$", re.MULTILINE)
_SHEBANG = "#!lua"
_READS = "no-writes"
# A process that has never looked at the store's clock waits so long for a worker to look. Workers look every second.
_NEWCOMER_PAUSE_S, _NEWCOMER_TRIES = 0.2, 20
_FORBIDDEN = (
    "its ACL refuses this user a right that closer needs for its keys {prefix}*; `closer check` names it, and "
    "docs/store.md has the whole rule"
)
_CLUSTER = "it is a cluster, which closer does not support; point CLOSER_REDIS_URL at a single primary"
# Errors after which the store may work again, and their remedies. A key is redis-py's error or the reply's first words.
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
    ClusterCrossSlotError: _CLUSTER,
    ClusterDownError: _CLUSTER,
    MovedError: _CLUSTER,
    "Script attempted to access": _CLUSTER,
    "DB index is out of range": "it has no database of this number; correct the number in CLOSER_REDIS_URL",
    "DENIED": "it is in protected mode; set a password, or let it listen where only closer can reach it",
}
# The error of lua/lib/base.lua as the store passes it on. It must begin the text, because an error may quote any words.
_NEWER = re.compile(r"(?:ERR )?(?:Error running script \(call to \w+\): @user_script:[\d?]+: )?NEWERLEDGER (\d+)")
_WRONG_TYPE = re.compile(r"WRONGTYPE (?P<key>\S+) is a (?P<kind>\w+), not")
_SOMETHING_ELSE = "the store refuses: a key of closer's holds something else ({}); "
_SHARED = "is this database shared with another program?"


class Look(NamedTuple):
    """A look at the store's clock, see `lua/lib/clock.lua`.

    `asked_s`: when this process asked (seconds of a clock that nobody sets). `stood`: the time that the store's clock
    showed (ms since the epoch). `moved`: by how much all plans had been moved because that clock was set (ms).
    """

    asked_s: float
    stood: bytes
    moved: bytes


class Scripts:
    """Runs scripts by name. `prefix` begins every key. `deadline_s`: for how long a closure is tried without a policy.

    A script runs completely, or it fails before its first write. After StoreUnavailable it may have run all the same,
    because its reply can be lost.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        deadline_s: float,
        clock: Callable[[], int] | None,
        stopwatch: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """The last three are for tests.

        `clock`: replaces the store's clock (ms since the epoch). `stopwatch`: replaces the clock of this machine (s)
        that shows when the store's clock was set. `sleep`: replaces `asyncio.sleep`.
        """
        self.redis = redis
        self.prefix = prefix
        self._span_ms = int(deadline_s * 1000)
        self._clock = clock
        self._stopwatch = stopwatch or (None if clock else _uptime_s)
        self._sleep = sleep
        self._look: Look | None = None
        self._loaded: dict[str, AsyncScript] = {}

    def key(self, name: str) -> str:
        """Return the key with this name: the prefix and the name."""
        return self.prefix + name

    async def ask(self, command: Any) -> Any:
        """Await a command of redis-py and return its reply. Raises StoreUnavailable and LedgerBroken."""
        try:
            return await command
        except (RedisError, OSError, UnicodeError) as error:
            raise translated(error, self.prefix) from error

    async def run(self, name: str, *arguments: Any, keys: tuple[str, ...] = ()) -> Any:
        """Run a script atomically, and return its reply.

        `arguments` follow those that every script has (`lua/lib/base.lua`), and `keys` follow the prefix. Raises
        StoreUnavailable when a repeat may succeed, LedgerBroken when it will not, and NewerLedger; each text names the
        remedy. A process that has not seen the store's clock yet may wait here for up to four seconds.
        """
        if _only_reads(name):
            return await self._send(name, "||", keys, arguments)
        tries = 0
        while True:  # the last try says that it has waited, so the script does not refuse it
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
        """Return what this process knows of the store's clock, as `lua/lib/base.lua` reads it."""
        if asked_s is None:
            return "||"
        if self._look is None:
            return "waited||" if waited else "never||"
        since_ms = max(0, int((asked_s - self._look.asked_s) * 1000))
        return f"{since_ms}|{self._look.stood.decode()}|{self._look.moved.decode()}"


def names() -> list[str]:
    """Return the names of all scripts, sorted."""
    return sorted(path.stem for path in _FOLDER.glob("*.lua"))


def pieces(name: str) -> list[tuple[str, str]]:
    """Return the pieces of a script in order. Each is the name of its file, relative to `lua/`, and its text.

    The shebang line comes first, then the parts of the library that the script has, then its body. A script that writes
    looks at the store's clock, so its reply is wrapped with what it saw.
    """
    file = f"{name}.lua"
    body = (_FOLDER / file).read_text("utf-8")
    shebang = _SHEBANG
    if body.startswith(_SHEBANG):
        # `#!lua` makes the store refuse the whole script when it is out of memory or read-only (see "Eval flags" in the
        # docs of Redis). Without it, the first half of a script could be written and the rest not.
        shebang, _, body = body.partition("\n")
        body = "\n" + body  # so that its lines keep their numbers
    version = f"local VERSION, OLDEST_BESIDE = {LEDGER_VERSION}, {OLDEST_BESIDE}"
    library = [("lib/version", version)]
    library += [(f"lib/{part}.lua", (_FOLDER / "lib" / f"{part}.lua").read_text("utf-8")) for part in _parts(body)]
    # The body is a function of its own, because a function in Lua may have 200 local variables, and the library has
    # most of these.
    reply = "body()" if _READS in shebang else "with_look(body())"
    return [(file, shebang), *library, (file, f"local function body(){body}\nend\nreturn {reply}")]


def _parts(body: str) -> list[str]:
    """Return the parts of the library that a script has, in their order."""
    named = _USES.search(body)
    uses = named[1].split(", ") if named else []
    return [*_LIBRARY, *(part for part in _FURTHER if f"lib/{part}" in uses)]


@cache
def source(name: str) -> str:
    """Return the whole text of a script as the store gets it."""
    return "\n".join(text for _, text in pieces(name))


@cache
def _only_reads(name: str) -> bool:
    return _READS in source(name).partition("\n")[0]


def _uptime_s() -> float:
    """Return the seconds of a clock that nobody can set. On Linux it goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def translated(error: Exception, prefix: str = "{CLOSER_NAMESPACE}:") -> CloserError:
    """Translate an error of redis-py into closer's own error, which says what is wrong and what to do next.

    Returns NewerLedger; StoreUnavailable when the same command may succeed later; or LedgerBroken when it will not.
    `prefix`: the beginning of the fleet's keys, for the text.
    """
    text = str(error) or type(error).__name__
    if newer := _NEWER.match(text):
        return NewerLedger(int(newer[1]), LEDGER_VERSION)
    for sign, remedy in _REMEDIES.items():
        if (text.startswith(sign) or f"-{sign} " in text) if isinstance(sign, str) else isinstance(error, sign):
            return StoreUnavailable(f"the store refuses: {remedy.replace('{prefix}', prefix)}")
    if "WRONGTYPE" in text:  # in a pipeline, redis-py puts the command before it
        return LedgerBroken(_wrong_type(text))
    # Subclasses of ResponseError are states that pass: the store moves, fails over, or has lost its scripts.
    if type(error) is ResponseError or isinstance(error, DataError | UnicodeError):
        return LedgerBroken(
            f"a script of the ledger failed, and wrote nothing ({type(error).__name__}: {text}); this is a fault of "
            "closer's: report it with this line"
        )
    return StoreUnavailable(f"the store does not answer ({type(error).__name__}: {text})")


def _wrong_type(text: str) -> str:
    """Return what is wrong. When the script has named the key, also return how to move it out of the way."""
    found = _WRONG_TYPE.match(text)
    if found is None:
        return _SOMETHING_ELSE.format("`closer check` names it") + _SHARED
    key, kind = found.groups()
    return _SOMETHING_ELSE.format(f"{key} is a {kind}") + (
        f"{_SHARED} Give closer a database of its own. RENAME {key} {key}.foreign keeps what the other program wrote, "
        "and the workers go on by themselves"
    )


def shown(raw: bytes) -> str:
    """Return bytes of the store as text. Bytes that are not UTF-8, from another program, are escaped."""
    return raw.decode("utf-8", "backslashreplace")
