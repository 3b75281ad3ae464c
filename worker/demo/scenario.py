"""Draws what the demo plays: groups of every kind at the simulated API, and the events that are published about them.

Everything is drawn from the seed, so the same seed gives the same scenario.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from redis.typing import EncodableT

from worker.simulator.faults import Faults, GroupFault
from worker.simulator.groups import Groups, State

Entry = dict[EncodableT, EncodableT]

# Shares of all groups. The rest closes at once. From _ALL_KINDS_FROM groups on, each kind appears.
_SHARES: dict[GroupFault, float] = {
    "already_closed": 0.04,
    "unlocked": 0.03,
    "processing_404": 0.03,
    "missing": 0.02,
    "gone": 0.01,
    "forbidden": 0.005,
}
_ALL_KINDS_FROM = 20
_FORBIDDEN_MOST = 3  # five in a row that are refused with 403 look like a lost permission, and stop the fleet
_START: dict[GroupFault, State] = {"unlocked": "open", "already_closed": "closed"}
_BARE, _REPEATED, _GARBAGE = 0.1, 0.04, 0.01  # shares of events
_THROTTLED = 3  # about how many calls get a 429, each of which stops the whole fleet for a second
_SOURCE, _TYPE = "/warehouse/demo", "shipment-group.complete"
_NO_EVENTS = (
    {"event": "<group>sg_1</group>"},
    {"event": '{"reference": "sg_1/../sg_2"}'},
    {"event": '{"specversion": "1.0", "id": "1", "source": "/warehouse/demo"}'},
    {"body": '{"reference": "sg_1"}'},
    {"event": ""},
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """What the demo plays.

    `groups`: what is wrong with each group, by reference; None for nothing. `entries`: for the stream, in order.
    `garbage`: how many of the entries are not events. `faults`: those of calls.
    """

    seed: int
    groups: dict[str, GroupFault | None]
    entries: list[Entry]
    garbage: int
    faults: Faults

    def place(self, groups: Groups) -> None:
        """Create every group at the simulated API."""
        for reference, fault in self.groups.items():
            groups.add(reference, _START.get(fault, "locked") if fault else "locked", fault=fault)


def draw_scenario(groups: int, seed: int) -> Scenario:
    """Return a mixed scenario.

    `groups`: how many there are. From 20 groups on, there is at least one of each kind.
    """
    dice = random.Random(seed)
    references = [f"sg_{dice.randrange(10**32):032d}" for _ in range(groups)]
    faults = dict(zip(references, _kinds(groups, dice), strict=True))
    garbage = max(1, round(groups * _GARBAGE))
    entries = [entry for reference in references for entry in _events(reference, dice.random)]
    entries += map(_no_event, range(garbage))
    dice.shuffle(entries)
    return Scenario(seed, faults, entries, garbage, _call_faults(groups))


def _no_event(number: int) -> Entry:
    """Return an entry that is not an event. Each has other bytes, because identical ones are kept once."""
    rounds, kind = divmod(number, len(_NO_EVENTS))
    ((name, text),) = _NO_EVENTS[kind].items()
    return {name: text + " " * rounds}


def _kinds(groups: int, dice: random.Random) -> list[GroupFault | None]:
    kinds: list[GroupFault | None] = []
    for kind, share in _SHARES.items():
        number = max(round(groups * share), int(groups >= _ALL_KINDS_FROM))
        kinds += [kind] * (min(number, _FORBIDDEN_MOST) if kind == "forbidden" else number)
    kinds += [None] * (groups - len(kinds))
    dice.shuffle(kinds)
    return kinds


def _events(reference: str, chance: Callable[[], float]) -> Iterator[Entry]:
    """Yield the event of a group, bare or as a CloudEvent. Some CloudEvents come twice, as a duplicate."""
    if chance() < _BARE:
        yield {"event": json.dumps({"reference": reference})}
        return
    event = {
        "specversion": "1.0",
        "id": f"demo-{reference}",
        "source": _SOURCE,
        "type": _TYPE,
        "data": {"reference": reference},
    }
    for _ in range(2 if chance() < _REPEATED else 1):
        yield {"event": json.dumps(event)}


def _call_faults(groups: int) -> Faults:
    return Faults(
        latency_s=0.02,
        latency_jitter_s=0.15,
        error_500=0.015,
        error_503_html=0.01,
        throttle_429=min(0.01, _THROTTLED / groups),
        retry_after_s=1,
        cut_before=0.01,
        cut_after=0.02,
        unusable_200=0.01,
    )
