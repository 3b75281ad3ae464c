"""Looks at what a release before namespaces keeps or has left under its key prefix, `closer:`, and at its workers.

After a move (`old_move.py`) three keys with that prefix stay: the seal. Older releases know nothing of the ledger's
version, but they stop at what they read there. A worker of the release just before reads another API's address in
`policy` and ends. Any older worker, and one that slept through the move, finds `open` to be of the wrong kind before it
writes anything, so it takes nothing in and closes nothing. `audit` does the same for a command such as `closer pause`,
which would else shut a gate that nobody looks at.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, cast

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.exceptions import RedisError, ResponseError

from tasks.closure import Reason, State
from tasks.ledger.scripts import translated
from tasks.namespace import DEFAULT_NAMESPACE

OLD_PREFIX = "closer:"
SEAL = "nowhere (a newer release has moved this ledger to the keys {closer}:*; run that release, see docs/upgrading.md)"
SEALED_VALUES = ("open", "audit")  # strings with the seal's text, where an older release expects other kinds
NAMES = (
    *(state.value for state in State),
    *(f"failed:{reason.value}" for reason in Reason),
    *("agenda", "dispatched", "open", "audit", "gate", "policy", "workers", "rejected", "rejected_once"),
    *("seen_types", "waiting_types", "inspection", "shared", "reconsider", "notices", "told"),
)
_ONLY_CLOCK = {b"clock", b"moved"}  # any command may have written these, of this release or of the old one
_ALIVE_MS = 60_000


_WORKS = "a worker of an older release is alive"


class OldState(StrEnum):
    """What the store holds under the old prefix."""

    NOTHING = "nothing"
    WAITS = "waits"  # a ledger that the first worker of this release moves
    BESIDE = "beside"  # a ledger that an older release has begun beside the one of this release


_DOES = {
    OldState.NOTHING: "it can neither take events in nor close groups any more, but it holds task messages up",
    OldState.WAITS: "no worker of this release starts before it has stopped",
    OldState.BESIDE: "it takes events from the same stream, and closes their groups also while this fleet is paused",
}


@dataclass(frozen=True, slots=True)
class OldWorker:
    """A worker of an older release that gave a sign of life in the last minute. `age_s`: how long ago."""

    name: str
    age_s: float

    @property
    def place(self) -> str:
        """Return where it runs, as far as its name tells."""
        host, _, process = self.name.rpartition(":")
        return f"process {process} on {host}" if host and process.isdecimal() else self.name


@dataclass(frozen=True, slots=True)
class OldLook:
    """What one look has found.

    `held`: the names of the keys that hold something of a ledger, without the prefix. `movable`: those and a gate that
    holds only the clock. `both`: those to be moved that this release's ledger has, too. `alive`: the workers that live.
    """

    state: OldState
    held: tuple[str, ...]
    movable: tuple[str, ...]
    both: tuple[str, ...]
    alive: tuple[OldWorker, ...]

    @property
    def nothing(self) -> bool:
        """Return whether nobody needs to do anything."""
        return self.state is OldState.NOTHING and not self.alive

    @property
    def problem(self) -> str:
        """Return what was found, and what it means. Call it only when something was found."""
        ledger = f"a ledger of an older release is in this store (its keys begin with {OLD_PREFIX})"
        if self.state is OldState.BESIDE:
            ledger += ", beside the one of this release, which does not see what is closed or waits there"
        if not self.alive:
            return ledger
        who = ", ".join(worker.place for worker in self.alive)
        return f"{_WORKS} ({who}): {_DOES[self.state]}" + ("" if self.state is OldState.NOTHING else f"; {ledger}")

    @property
    def remedy(self) -> str:
        """Return what to do about it."""
        stop = "stop every worker of the older release" if not self.alive else "stop it now where it runs"
        if self.state is OldState.WAITS:
            first = f"{stop}; then " if self.alive else ""
            return f"{first}a worker of this release moves it when it starts: docs/upgrading.md"
        then = "read docs/upgrading.md" + (", Two ledgers" if self.state is OldState.BESIDE else "")
        return f"{stop}, see that nothing starts it again, then {then}"

    def as_json(self) -> dict[str, Any]:
        """Return it for other programs."""
        workers = [{"name": worker.name, "age_s": worker.age_s} for worker in self.alive]
        return {"ledger": self.state.value, "workers": workers, "keys": [old_key(name) for name in self.held]}


NO_OLD_LEDGER = OldLook(OldState.NOTHING, (), (), (), ())


async def look(redis: Redis) -> OldLook:
    """Look in one step, however large the store is. Raises StoreUnavailable and LedgerBroken."""
    async with redis.pipeline(transaction=True) as pipe:  # in one, because another worker may end its move meanwhile
        try:
            return _found(await _asked(pipe))
        except (RedisError, OSError) as error:
            raise translated(error, OLD_PREFIX) from error


async def is_sealed(redis: Redis) -> bool:
    """Return whether a move has left its seal under the old prefix. Raises StoreUnavailable and LedgerBroken."""
    try:
        api: Any = await cast(Awaitable[Any], redis.hget(old_key("policy"), "api"))
    except (RedisError, OSError) as error:
        raise translated(error, OLD_PREFIX) from error
    return bool(api == SEAL.encode())


async def _asked(pipe: Pipeline) -> list[Any]:
    """Return whether each old and each new key is there, the time, and what some of them hold."""
    for key in (*map(old_key, NAMES), *map(new_key, NAMES)):
        pipe.exists(key)
    pipe.hexists(new_key("policy"), "deadline_ms")  # any worker writes it when it begins
    pipe.time()
    pipe.hgetall(old_key("workers"))
    for key in (old_key("gate"), new_key("gate")):
        pipe.hkeys(key)
    pipe.hget(old_key("policy"), "api")
    for name in SEALED_VALUES:
        pipe.get(old_key(name))
    replies: list[Any] = [_unless_wrong_kind(reply) for reply in await pipe.execute(raise_on_error=False)]
    return replies


def _found(replies: Sequence[Any]) -> OldLook:
    count = len(NAMES)
    begun, (seconds, _), signs, old_gate, new_gate, api, *values = replies[2 * count :]
    old = {name for name, there in zip(NAMES, replies[:count], strict=True) if there}
    new = {name for name, there in zip(NAMES, replies[count : 2 * count], strict=True) if there}
    old -= {name for name, value in zip(SEALED_VALUES, values, strict=True) if value == SEAL.encode()}
    if sealed := api == SEAL.encode():
        old -= {"policy", "workers", "gate"}  # what a program may write before the seal stops it is not a ledger
    idle = {"gate"} if "gate" in old and _only_clock(old_gate) else set()
    free = new - {"gate"} if _only_clock(new_gate) else new
    held = old - idle
    return OldLook(
        _state(held, begun=sealed or begun),
        _in_order(held),
        _in_order(held | idle),
        _in_order((held | idle) & free if held else set()),
        _alive(signs or {}, seconds * 1000),
    )


def _state(held: set[str], *, begun: object) -> OldState:
    """Return the state. `begun`: whether a worker of this release has ever started here."""
    if not held:
        return OldState.NOTHING
    return OldState.BESIDE if begun else OldState.WAITS


def _only_clock(fields: Sequence[bytes] | None) -> bool:
    return fields is not None and _ONLY_CLOCK.issuperset(fields)


def _in_order(names: set[str]) -> tuple[str, ...]:
    return tuple(name for name in NAMES if name in names)


def _alive(signs: Mapping[bytes, bytes], now_ms: int) -> tuple[OldWorker, ...]:
    ages = {name.decode("utf-8", "backslashreplace"): abs(now_ms - _said_at_ms(said)) for name, said in signs.items()}
    return tuple(OldWorker(name, age / 1000) for name, age in sorted(ages.items()) if age < _ALIVE_MS)


def _said_at_ms(said: bytes) -> float:
    """Return when a worker said this (ms since the epoch), or 0 when it cannot be read."""
    try:
        return float(json.loads(said)["at"])
    except (ValueError, TypeError, LookupError, RecursionError):
        return 0.0


def _unless_wrong_kind(reply: Any) -> Any:
    """Return the reply; None where the key is of another kind, because another program may have taken its name.

    Each other error ends the transaction as a whole, so it is raised before anybody looks at a reply.
    """
    return None if isinstance(reply, ResponseError) else reply


def old_key(name: str) -> str:
    """Return a key of the older release's ledger."""
    return OLD_PREFIX + name


def new_key(name: str) -> str:
    """Return the key of this release's ledger, in the default namespace."""
    return DEFAULT_NAMESPACE.prefix + name
