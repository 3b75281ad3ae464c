"""The fleet's policy: settings that must be the same for every worker and every operator's command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import ForeignApi, OlderWorkers
from tasks.events.event_type import EventTypes
from tasks.ledger.scripts import Scripts, shown

_VARIABLES = {
    "deadline_ms": "CLOSER_RETRY_DEADLINE", "pause_ms": "CLOSER_RATE_LIMIT", "stream": "CLOSER_EVENTS_STREAM",
    "event_types": "CLOSER_EVENT_TYPES", "close_delay_ms": "CLOSER_CLOSE_DELAY",
    "cancel_event_types": "CLOSER_CANCEL_EVENT_TYPES",
}  # fmt: skip
_LARGEST = 10**15  # a longer number no worker wrote


@dataclass(frozen=True, slots=True)
class FleetPolicy:
    """The settings of the worker that started last. They are in the store's hash `policy`.

    `deadline_s`: for how many seconds a closure is tried. `rate_limit`: calls per second of the whole fleet, 0 for no
    limit. `stream`: the stream that events come on. `event_types`: the types that mean complete, as in
    CLOSER_EVENT_TYPES; when it is empty, the last word of a type decides. `cancel_event_types`: those that cancel, ""
    for none. Workers and operators' commands use this policy's types. `close_delay_s`: seconds between an event and the
    first attempt.
    """

    deadline_s: float
    rate_limit: float
    stream: str
    event_types: str = ""
    close_delay_s: float = 0.0
    cancel_event_types: str = ""

    @property
    def types(self) -> EventTypes:
        """The types of events that mean complete, and those that cancel."""
        types = EventTypes.of(self.event_types) if self.event_types.strip(", ") else EventTypes()
        return types.with_cancelling(self.cancel_event_types) if self.cancel_event_types.strip(", ") else types

    def as_fields(self) -> dict[str, str]:
        """Return the fields of the hash. The ledger's scripts read those that are in ms."""
        pause_ms = 1000 / self.rate_limit if self.rate_limit else 0
        return {
            "deadline_ms": str(int(self.deadline_s * 1000)), "pause_ms": f"{pause_ms:.6f}", "stream": self.stream,
            "event_types": self.event_types, "close_delay_ms": str(int(self.close_delay_s * 1000)),
            "cancel_event_types": self.cancel_event_types,
        }  # fmt: skip

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> FleetPolicy | None:
        """Read the hash. Return None when no worker has written it yet, or when another program has overwritten it."""
        try:
            deadline_ms, pause_ms = (float(fields[name]) for name in (b"deadline_ms", b"pause_ms"))
            stream, event_types = fields[b"stream"].decode(), fields.get(b"event_types", b"").decode()
            delay_ms, cancels = (
                float(fields.get(b"close_delay_ms", b"0")),
                fields.get(b"cancel_event_types", b"").decode(),
            )
        except (KeyError, ValueError):
            return None
        if not (0 < deadline_ms < _LARGEST and 0 <= pause_ms < _LARGEST and 0 <= delay_ms < _LARGEST and stream):
            return None
        rate_limit = round(1000 / pause_ms, 6) if pause_ms else 0.0
        return cls(deadline_ms / 1000, rate_limit, stream, event_types, delay_ms / 1000, cancels)

    def differs(self, said: Any) -> list[str]:
        """Return the variables whose values differ between this policy and `said`, a heartbeat's field `policy`."""
        theirs = said if isinstance(said, dict) else {}
        ours = self.as_fields()
        return [name for field, name in _VARIABLES.items() if field in theirs and theirs[field] != ours[field]]


class FleetPolicies:
    """The fleet's policy, and the API that the ledger is for. Methods may raise StoreUnavailable and LedgerBroken."""

    def __init__(self, scripts: Scripts, api: str) -> None:
        """`api`: the address of the API that this process calls, see `api_address`; "" when it calls none."""
        self._scripts = scripts
        self._api = api

    async def hold_api(self) -> None:
        """Tie the ledger to our API if it is tied to none yet. Raises ForeignApi when it is tied to another."""
        (address,) = await self._scripts.run("policy", "hold", self._api, "", "")
        if shown(address) != self._api:
            raise ForeignApi(shown(address), self._api)

    async def start(self, policy: FleetPolicy) -> None:
        """Tie the ledger to our API as `hold_api` does, and set the policy. A worker calls this when it starts.

        Raises ForeignApi, or OlderWorkers while workers are alive that would not respect what this release writes. The
        policy is not changed then.
        """
        fields = [word for pair in policy.as_fields().items() for word in pair]
        address, *older = await self._scripts.run("policy", "start", self._api, *fields)
        if older:
            raise OlderWorkers([shown(name) for name in older])
        if shown(address) != self._api:
            raise ForeignApi(shown(address), self._api)

    async def read(self) -> FleetPolicy | None:
        """Return the policy, or None before the first worker of this release has started."""
        fields: Any = await self._scripts.ask(self._scripts.redis.hgetall(self._scripts.key("policy")))
        return FleetPolicy.from_fields(fields)

    async def api(self) -> str | None:
        """Return the address of the API that the ledger is for, or None before the first worker has started."""
        address: Any = await self._scripts.ask(self._scripts.redis.hget(self._scripts.key("policy"), "api"))
        return None if address is None else shown(address)

    async def move_api(self, address: str, *, by: str, why: str, door: str = "") -> list[str]:
        """Tie the ledger to the API at this address, and write that into the audit in the same step.

        While workers are alive that may call another API, nothing is changed, and their names are returned. The list
        is empty when the ledger was moved. `by`, `why`, `door`: the operator, the purpose and the front end.
        """
        _, *others = await self._scripts.run("policy", "move", address, by, why, door)
        return [shown(name) for name in others]
