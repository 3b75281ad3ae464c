"""Finds the types of events that come and are not accepted: how many events of each wait, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.events.event_type import EventTypes
from tasks.ledger.summary import Summary
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.step import Step


@dataclass(frozen=True, slots=True)
class Waiting:
    """The rejected events of one type that wait for a decision.

    `events`: how many they are. `setting`: the variable that accepts this type from now on, ready for a shell; None if
    the type is accepted by now. `cancels`: whether the type cancels by now, so that the step holds these groups.
    """

    type: str
    events: int
    setting: str | None
    cancels: bool = False

    @property
    def step(self) -> Step:
        """The step that has these events received: their groups are closed if the type means complete."""
        return Step(Verb.ACCEPT_TYPE, event_type=self.type)


def waiting(summary: Summary, types: EventTypes) -> list[Waiting]:
    """Return the types whose events wait, the most frequent first. `types`: those that are accepted."""
    ordered = sorted(summary.waiting_types.items(), key=lambda item: (-item[1], item[0]))
    return [
        Waiting(name, number, _setting(types, name, summary), types.cancels(name))
        for name, number in ordered
        if name and number > 0 and summary.rejected
    ]


async def setting_for(context: OperatorContext, event_type: str) -> str | None:
    """Return the setting with which new events of this type are accepted, None if they already are.

    Raises StoreUnavailable.
    """
    types = await context.types()
    return _setting(types, event_type, await context.ledger.catalogue.summary(await context.stream()))


def _setting(types: EventTypes, event_type: str, summary: Summary) -> str | None:
    return None if types.takes(event_type) else types.setting(event_type, summary.seen_types)


def uncounted(summary: Summary) -> int:
    """Return how many events wait whose types are not counted one by one, because there are too many types."""
    return summary.waiting_types.get("", 0) if summary.rejected else 0
