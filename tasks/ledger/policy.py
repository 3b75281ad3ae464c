"""What the whole fleet goes by: the settings that must not differ from worker to worker, nor come from a laptop."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tasks.errors import ForeignApi, OlderWorkers
from tasks.events.event_type import EventTypes
from tasks.ledger.scripts import Scripts, shown

_VARIABLES = {
    "deadline_ms": "CLOSER_RETRY_DEADLINE", "pause_ms": "CLOSER_RATE_LIMIT", "stream": "CLOSER_EVENTS_STREAM",
    "event_types": "CLOSER_EVENT_TYPES",
}  # fmt: skip
_LARGEST = 10**15  # a longer number no worker wrote


@dataclass(frozen=True, slots=True)
class FleetPolicy:
    """The policy of the worker that started last; it stands in the store's hash `policy`.

    `deadline_s`: how long a closure is tried for. `rate_limit`: calls a second over the whole fleet, 0: no limit.
    `stream`: where events come on. `event_types`: as CLOSER_EVENT_TYPES has them; empty: by the last word. By these
    operators' commands go; a worker that takes events in goes by its own.
    """

    deadline_s: float
    rate_limit: float
    stream: str
    event_types: str = ""

    @property
    def types(self) -> EventTypes:
        """The types of events that are accepted."""
        return EventTypes.of(self.event_types) if self.event_types.strip(", ") else EventTypes()

    def as_fields(self) -> dict[str, str]:
        """The fields of the hash. The ledger's scripts read the first two."""
        pause_ms = 1000 / self.rate_limit if self.rate_limit else 0
        return {
            "deadline_ms": str(int(self.deadline_s * 1000)), "pause_ms": f"{pause_ms:.6f}", "stream": self.stream,
            "event_types": self.event_types,
        }  # fmt: skip

    @classmethod
    def from_fields(cls, fields: Mapping[bytes, bytes]) -> FleetPolicy | None:
        """Read the hash; None before a worker has written it, or where it holds something else."""
        try:
            deadline_ms, pause_ms = (float(fields[name]) for name in (b"deadline_ms", b"pause_ms"))
            stream, event_types = fields[b"stream"].decode(), fields.get(b"event_types", b"").decode()
        except (KeyError, ValueError):
            return None
        if not (0 < deadline_ms < _LARGEST and 0 <= pause_ms < _LARGEST and stream):
            return None
        return cls(deadline_ms / 1000, round(1000 / pause_ms, 6) if pause_ms else 0.0, stream, event_types)

    def differs(self, said: Any) -> list[str]:
        """The names of the settings in which a worker, by what it says of itself, differs from this policy."""
        theirs = said if isinstance(said, dict) else {}
        ours = self.as_fields()
        return [name for field, name in _VARIABLES.items() if field in theirs and theirs[field] != ours[field]]


class FleetPolicies:
    """The fleet's policy, and the API that the ledger is for. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts, api: str) -> None:
        """`api`: the address of the API that this process calls, "": none."""
        self._scripts = scripts
        self._api = api

    async def hold_api(self) -> None:
        """Make the ledger one for our API if it is for none yet. Raises ForeignApi when it is for another."""
        (address,) = await self._scripts.run("policy", "hold", self._api, "", "")
        if shown(address) != self._api:
            raise ForeignApi(shown(address), self._api)

    async def start(self, policy: FleetPolicy) -> None:
        """Hold the ledger for our API, and set the policy: a worker starts. Raises ForeignApi, OlderWorkers."""
        fields = [word for pair in policy.as_fields().items() for word in pair]
        address, *older = await self._scripts.run("policy", "start", self._api, *fields)
        if older:
            raise OlderWorkers([shown(name) for name in older])
        if shown(address) != self._api:
            raise ForeignApi(shown(address), self._api)

    async def read(self) -> FleetPolicy | None:
        """What the fleet goes by; None before the first worker of this release has started."""
        fields: Any = await self._scripts.ask(self._scripts.redis.hgetall(self._scripts.key("policy")))
        return FleetPolicy.from_fields(fields)

    async def api(self) -> str | None:
        """The address of the API that the ledger is for; None before the first worker has started."""
        address: Any = await self._scripts.ask(self._scripts.redis.hget(self._scripts.key("policy"), "api"))
        return None if address is None else shown(address)

    async def move_api(self, address: str, *, by: str, why: str, door: str = "") -> list[str]:
        """Make the ledger one for this API from now on; audited in the same step.

        Nothing is changed while workers are alive that may call another one: their names are returned.
        """
        _, *others = await self._scripts.run("policy", "move", address, by, why, door)
        return [shown(name) for name in others]
