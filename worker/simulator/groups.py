"""Keeps the simulated API's shipment groups: the record of each, and the calls in total."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Literal
from uuid import UUID

from worker.simulator.faults import Faults, GroupFault, group_fault
from worker.simulator.script import Endpoint

State = Literal["open", "locked", "closed"]
STATES: tuple[State, ...] = ("open", "locked", "closed")


@dataclass(slots=True)
class Group:
    """One shipment group and what was done to it. Times are in UTC.

    `calls`: how many came at all endpoints. `close_calls`: every close that arrived, also those that failed.
    `effective_closes`: how often a call really closed the group, which is at most once.
    """

    reference: str
    state: State
    custom_reference: str
    version: int
    created: datetime
    locked: datetime | None = None
    closed: datetime | None = None
    fault: GroupFault | None = None
    calls: int = 0
    close_calls: int = 0
    effective_closes: int = 0

    def move(self, target: State, now: datetime) -> None:
        """Change the state to `target`. The caller has checked that the API allows it."""
        self.state = target
        if target == "closed":
            self.closed = now
            self.effective_closes += 1
        else:
            self.locked = now if target == "locked" else None

    def as_json(self) -> dict[str, Any]:
        """Return the record for another process. Times are ISO 8601."""
        values = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values}


class Groups:
    """Holds every group by reference, and counts the calls by endpoint and status."""

    def __init__(self, seed: int = 0, unknown: Literal["locked", "missing"] = "locked") -> None:
        """`seed`: faults are drawn from it.

        `unknown`: whether a group that is asked for and was not added is created as locked, or does not exist.
        """
        self.seed = seed
        self.unknown = unknown
        self.calls: Counter[tuple[Endpoint, str]] = Counter()
        self.first_call: datetime | None = None
        self.last_call: datetime | None = None
        self._by_reference: dict[str, Group] = {}
        self._by_custom: dict[str, list[Group]] = {}

    def add(
        self,
        reference: str,
        state: State = "locked",
        custom_reference: str | None = None,
        fault: GroupFault | None = None,
    ) -> Group:
        """Create a group before anything asks for it. Its fault is the given one; none is drawn.

        Raises ValueError when the reference exists, or when a group that is not closed has this custom reference. It is
        unique among groups that are not closed, and `version` counts its uses (API page, create groups).
        """
        if reference in self._by_reference:
            raise ValueError(f"group {reference} exists already")
        custom = custom_reference or str(UUID(bytes=blake2b(reference.encode(), digest_size=16).digest()))
        namesakes = self._by_custom.setdefault(custom, [])
        if namesakes and namesakes[-1].state != "closed":
            raise ValueError(f"{custom} is the custom reference of {namesakes[-1].reference}, not closed yet")
        now = datetime.now(UTC)
        group = Group(reference, state, custom, len(namesakes) + 1, created=now, fault=fault)
        group.locked = None if state == "open" else now
        group.closed = now if state == "closed" else None
        namesakes.append(group)
        self._by_reference[reference] = group
        return group

    def get(self, reference: str, faults: Faults) -> Group:
        """Return the group of this reference. An unknown one is created, with the fault that the seed gives it."""
        return self._by_reference.get(reference) or self._appear(reference, faults)

    def _appear(self, reference: str, faults: Faults) -> Group:
        fault = "missing" if self.unknown == "missing" else group_fault(faults, self.seed, reference)
        state: State = "open" if fault == "unlocked" else "closed" if fault == "already_closed" else "locked"
        return self.add(reference, state, fault=fault)

    def get_custom(self, custom_reference: str, version: str) -> Group | None:
        """Return the group by the customer's own name, None if there is none.

        `version`: a number, or `latest`.
        """
        namesakes = self._by_custom.get(custom_reference, [])
        index = len(namesakes) if version == "latest" else int(version)
        return namesakes[index - 1] if 1 <= index <= len(namesakes) else None

    def arrived(self, endpoint: Endpoint, group: Group | None) -> int:
        """Count a call, and return its number within the group, from 1; 0 without a group."""
        self.last_call = datetime.now(UTC)
        self.first_call = self.first_call or self.last_call
        if group is None:
            return 0
        group.calls += 1
        group.close_calls += endpoint == "close"
        return group.calls

    def records(self) -> dict[str, Group]:
        """Return every record by reference. The dictionary is a copy; the records still change."""
        return self._by_reference.copy()

    def summary(self) -> dict[str, Any]:
        """Return the totals: groups by state, calls by endpoint and status, and closes.

        It also tells when the first and the last call came. The status `dropped` means that no reply was sent.
        """
        records = self.records().values()
        states = Counter(group.state for group in records)
        calls: dict[str, dict[str, int]] = {}
        for (endpoint, status), count in sorted(self.calls.copy().items()):
            calls.setdefault(endpoint, {})[status] = count
        return {
            "groups": {state: states[state] for state in STATES},
            "calls": calls,
            "close_calls": sum(group.close_calls for group in records),
            "effective_closes": sum(group.effective_closes for group in records),
            "effective_closes_max": max((group.effective_closes for group in records), default=0),
            "first_call": self.first_call.isoformat() if self.first_call else None,
            "last_call": self.last_call.isoformat() if self.last_call else None,
        }
