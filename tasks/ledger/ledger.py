"""The ledger: every closure, in Redis or Valkey, and the only authority on what is to be done next.

Each method is one script call (`lua/`, atomic), for any number of closures. Durations go in, the store's clock
decides: no worker's clock is ever compared with another's.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar, cast

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tasks.closure import Closure, Reason, State
from tasks.errors import ForeignApi, LedgerBroken, OlderWorkers
from tasks.events.batch import Element
from tasks.events.event import GroupComplete, Rejection
from tasks.ledger.dead_letters import rejected, rejected_once
from tasks.ledger.gate import Gate
from tasks.ledger.heartbeat import Heartbeat, Unreadable, read_heartbeat
from tasks.ledger.inspection import Inspected
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.scripts import Scripts, translated
from tasks.ledger.values import (
    Claim,
    Due,
    Observation,
    Received,
    Settled,
    Settlement,
    Slot,
    Unclaimed,
    Word,
    compact_json,
    round_up_ms,
)
from tasks.namespace import DEFAULT_NAMESPACE, Namespace

T = TypeVar("T")
_REASONS = " ".join(Reason)


class Ledger:
    """Closures in the store behind `redis`. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(
        self,
        redis: Redis,
        *,
        deadline_s: float = 86_400.0,
        namespace: Namespace = DEFAULT_NAMESPACE,
        api: str = "",
        clock: Callable[[], int] | None = None,
        stopwatch: Callable[[], float] | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
    ) -> None:
        """`deadline_s`: how long a closure is tried for, where the fleet has no policy yet.

        `namespace`: the fleet whose closures these are.

        `api`: the address of the API that claims are called at.

        `clock`, `stopwatch`, `sleep`: for tests, see `Scripts`.
        """
        self.redis = redis
        self._api = api
        self.namespace = namespace
        self.prefix = namespace.prefix
        self._scripts = Scripts(redis, namespace.prefix, deadline_s, clock, stopwatch, sleep)

    async def receive(self, events: Sequence[GroupComplete]) -> list[Received]:
        """Write events down: after this they cannot be lost. Deduplicated by event and by group."""
        arguments = _arguments(_event_argument, events)
        return [Received(word.decode()) for word in await self._scripts.run("receive", _REASONS, *arguments)]

    async def reject(self, body: bytes, rejection: Rejection, origin: str) -> str:
        """Put aside what is not an event, with its bytes, why, and where it came from; returns its id."""
        ids: list[bytes] = await self._scripts.run("reject", *rejected(body, rejection, origin))
        return ids[0].decode()

    async def keep_rejected(self, elements: Sequence[Element]) -> int:
        """Put aside those that are rejections, each once, however often it comes; returns how many were new."""
        arguments = rejected_once(elements)
        ids: list[bytes] = await self._scripts.run("reject", *arguments) if arguments else []
        return sum(1 for rejected_id in ids if rejected_id)

    async def see(self, types: Sequence[str]) -> None:
        """Write down that events of these types have come."""
        await self._scripts.run("seen", *types)

    async def due(self, *, limit: int, grace_s: float, most: int, key: str = "") -> Due:
        """Take up to `limit` references that must be looked at now; see `lua/due.lua`. `key`: the name of one's key."""
        row = await self._scripts.run("due", limit, int(grace_s * 1000), most, key)
        wait_ms, on_their_way, word, probe, *references = row
        return Due(
            [ref.decode() for ref in references],
            None if wait_ms < 0 else wait_ms / 1000,
            on_their_way,
            Word(*word),
            probe.decode() or None,
        )

    async def claim(
        self, references: Sequence[str], *, worker: str, lease_s: float, rate_limit: float = 0.0, key: str = ""
    ) -> dict[str, Claim | Unclaimed]:
        """Lease closures to `worker`. `rate_limit` is in calls per second over the whole fleet, 0 for none.

        Raises ForeignApi, and claims nothing, when the ledger is for another API.
        """
        pause_ms, lease_ms = _pause_ms(rate_limit), int(lease_s * 1000)
        rows = await self._scripts.run("claim", lease_ms, pause_ms, worker, key, self._api, *references)
        if rows and rows[0][0] == b"foreign":
            raise ForeignApi(_text(rows[0][1]), self._api)
        return {ref: _claim(ref, row) for ref, row in zip(references, rows, strict=True)}

    async def undispatch(self, references: Sequence[str]) -> None:
        """Make queued closures due at once: their task message was not sent, or will not be worked on."""
        await self._scripts.run("undispatch", *references)

    async def settle(self, settlements: Sequence[Settlement], *, key: str = "", again: bool = False) -> Settled:
        """Write down what attempts came to. `key`: the name of the key that they were made with.

        `again`: some may be written already, because the store's answer did not come; those count as written.
        """
        arguments = _arguments(Settlement.as_argument, settlements)
        word, *written = await self._scripts.run("settle", key, "1" if again else "", *arguments)
        return Settled([row == 1 for row in written], Word(*word))

    async def requeue(
        self, references: Sequence[str], *, trigger: str = "requeue", lock: bool = False, audit: str = ""
    ) -> list[str]:
        """Queue failed closures again, with a new deadline: "done", "unknown", "unreadable", or the state it is in.

        What was changed is added to the audit's entry `audit` in the same step.
        """
        words = await self._scripts.run("operate", "requeue", trigger, "1" if lock else "", audit, *references)
        return [word.decode() for word in words]

    async def discard(self, references: Sequence[str], *, audit: str = "") -> list[str]:
        """Give up failed closures for good: "done", or why not, and `audit`, as above."""
        words = await self._scripts.run("operate", "discard", "", "", audit, *references)
        return [word.decode() for word in words]

    async def reconcile(self, observations: Sequence[Observation], *, audit: str, others: dict[str, int]) -> list[str]:
        """Write down what the API says, where the ledger disagrees: "done", "unknown", "agree" or "moved on".

        `others` counts, for the audit, those of the same chunk that agree or cannot be told.
        """
        flat = [
            word for ref, closed, since_ms in observations for word in (ref, "closed" if closed else "open", since_ms)
        ]
        return [word.decode() for word in await self._scripts.run("reconcile", audit, compact_json(others), *flat)]

    async def dismiss(self, rejected_ids: Sequence[str], *, audit: str) -> int:
        """Take rejected events off their stream; returns how many were there."""
        dismissed: int = await self._scripts.run("dismiss", audit, *rejected_ids)
        return dismissed

    async def prune(self, *, keep_s: float, limit: int = 500) -> int:
        """Forget closures that ended more than `keep_s` ago; returns how many (at most twice `limit`)."""
        forgotten: int = await self._scripts.run("prune", int(keep_s * 1000), limit)
        return forgotten

    async def take_off(self, stream: str, entry_ids: Sequence[bytes]) -> int:
        """Acknowledge entries of a stream, and delete what no consumer group needs; returns how many others read it.

        Without entries it only looks for what other groups need no longer.
        """
        others: int = await self._scripts.run("take_off", self.namespace.group, *entry_ids, keys=(stream,))
        return others

    async def inspect(self, *, lease_s: float) -> Inspected:
        """Take one step of the inspection: what the agenda or an index has lost is put back; see `lua/inspect.lua`."""
        reply = await self._scripts.run("inspect", _REASONS, int(lease_s * 1000))
        return Inspected.of(reply)

    async def identity(self) -> str:
        """The ledger's own name, made when it is first asked for; it salts the names of keys."""
        name: bytes = await self._scripts.run("identify", uuid.uuid4().hex)
        return name.decode()

    async def gate(self) -> Gate:
        """Look at the gate; nothing is changed."""
        return Gate.parse(await self._scripts.run("look"))

    async def pause(self, *, by: str = "", why: str = "", door: str = "") -> Gate:
        """Shut the gate until `resume`; audited in the same step."""
        return Gate.parse(await self._scripts.run("gate", "pause", by, why, "", door))

    async def resume(self, *, by: str = "", why: str = "", door: str = "", override_retry_after: bool = False) -> Gate:
        """End a pause, and make the next probe due at once; audited in the same step.

        What the API asked for by Retry-After still stands, unless `override_retry_after`.
        """
        verb = "override" if override_retry_after else "resume"
        return Gate.parse(await self._scripts.run("gate", verb, by, why, "", door))

    async def throttle(self, hold_s: float) -> Gate:
        """The API asked for this many seconds without calls: the whole fleet holds back."""
        return Gate.parse(await self._scripts.run("gate", "throttle", "", "", round_up_ms(hold_s)))

    async def start_slowly(self, key: str = "") -> Gate:
        """A worker starts: few calls at first, unless its key is known to be refused."""
        return Gate.parse(await self._scripts.run("gate", "start", "", "", key))

    async def slot(self, rate_limit: float, *, while_shut: Iterable[str] = ()) -> Slot:
        """Reserve the next call under the rate limit for one that needs no claim; `while_shut`: reasons passed over."""
        wait_ms, gate = await self._scripts.run("slot", _pause_ms(rate_limit), " ".join(while_shut))
        return Slot(None if wait_ms < 0 else wait_ms / 1000, Gate.parse(gate))

    async def hold_api(self) -> None:
        """Make the ledger one for our API if it is for none yet. Raises ForeignApi when it is for another."""
        (address,) = await self._scripts.run("policy", "hold", self._api, "", "")
        if _text(address) != self._api:
            raise ForeignApi(_text(address), self._api)

    async def start(self, policy: FleetPolicy) -> None:
        """Hold the ledger for our API, and set the policy: a worker starts. Raises ForeignApi, OlderWorkers."""
        fields = [word for pair in policy.as_fields().items() for word in pair]
        address, *older = await self._scripts.run("policy", "start", self._api, *fields)
        if older:
            raise OlderWorkers([_text(name) for name in older])
        if _text(address) != self._api:
            raise ForeignApi(_text(address), self._api)

    async def policy(self) -> FleetPolicy | None:
        """What the fleet goes by; None before the first worker of this release has started."""
        try:
            fields: Any = await cast("Awaitable[Any]", self.redis.hgetall(self.prefix + "policy"))
        except (RedisError, OSError) as error:
            raise translated(error) from error
        return FleetPolicy.from_fields(fields)

    async def api(self) -> str | None:
        """The address of the API that the ledger is for; None before the first worker has started."""
        try:
            address: Any = await cast("Awaitable[Any]", self.redis.hget(self.prefix + "policy", "api"))
        except (RedisError, OSError) as error:
            raise translated(error) from error
        return None if address is None else _text(address)

    async def move_api(self, address: str, *, by: str, why: str, door: str = "") -> list[str]:
        """Make the ledger one for this API from now on; audited in the same step.

        Nothing is changed while workers are alive that may call another one: their names are returned.
        """
        _, *others = await self._scripts.run("policy", "move", address, by, why, door)
        return [_text(name) for name in others]

    async def heartbeat(
        self, worker: str = "", said: dict[str, Any] | None = None
    ) -> tuple[int, list[Heartbeat | Unreadable]]:
        """Write down a worker's sign of life (None: its goodbye); returns the time (ms) and what every worker said."""
        now, *flat = await self._scripts.run("heartbeat", worker, "" if said is None else compact_json(said))
        return int(now), list(map(read_heartbeat, flat[::2], flat[1::2]))

    async def read(self, references: Sequence[str]) -> list[Closure | None]:
        """The closures of these references, None for unknown ones."""
        rows = await self._scripts.run("read", *references)
        return [_closure(ref, row) for ref, row in zip(references, rows, strict=True)]


def _text(value: bytes) -> str:
    """What another program may have written, too."""
    return value.decode("utf-8", "backslashreplace")


def _pause_ms(rate_limit: float) -> float:
    return 1000 / rate_limit if rate_limit else 0


def _arguments(as_argument: Callable[[T], str], items: Iterable[T]) -> list[str]:
    """The items as a script reads them. Raises LedgerBroken for one that cannot be written so, as the script would."""
    try:
        return [as_argument(item) for item in items]
    except (ValueError, OverflowError, TypeError) as error:
        raise LedgerBroken(f"closer cannot write this down ({type(error).__name__}: {error}); report it") from error


def _event_argument(event: GroupComplete) -> str:
    fields = {"ref": event.reference, "e": event.source, "i": event.event_id, "u": event.custom_reference,
              "t": event.time, "p": event.traceparent}  # fmt: skip
    return compact_json({name: value for name, value in fields.items() if value is not None})


def _claim(reference: str, row: list[Any]) -> Claim | Unclaimed:
    if row[0] != b"claimed":
        return Unclaimed(row[0].decode())
    lease, failures, missing, remaining_ms, wait_ms, at_ms = (int(value) for value in row[1:7])
    trigger, custom, traceparent = row[7].decode(), row[9].decode(), row[10].decode()
    return Claim(
        reference, lease, failures, missing, remaining_ms / 1000, wait_ms / 1000, at_ms,
        trigger, row[8] == 1, custom or None, traceparent or None, None if row[11] == b"" else row[11],
    )  # fmt: skip


def _closure(reference: str, row: list[Any]) -> Closure | None:
    if not row:
        return None
    raw, entered, agenda, state = row
    due = float(agenda) if agenda else None
    return Closure.from_record(reference, raw, float(entered), due, State(state.decode()))
