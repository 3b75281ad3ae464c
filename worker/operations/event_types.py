"""Finds the types of events that come and are not accepted: how many events of each wait, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.events.event_type import EventTypes
from tasks.ledger.catalogue import Summary
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.step import Step


@dataclass(frozen=True, slots=True)
class Waiting:
    """The rejected events of one type that wait for a decision.

    `events`: how many they are. `setting`: the variable that accepts this type from now on, ready for a shell; None if
    the type is accepted by now.
    """

    type: str
    events: int
    setting: str | None

    @property
    def step(self) -> Step:
        """The step that closes the groups of these events, if the type means complete."""
        return Step(Verb.ACCEPT_TYPE, event_type=self.type)


def waiting(summary: Summary, types: EventTypes) -> list[Waiting]:
    """Return the types whose events wait, the most frequent first. `types`: those that are accepted."""
    ordered = sorted(summary.waiting_types.items(), key=lambda item: (-item[1], item[0]))
    return [
        Waiting(name, number, None if types.accept(name) else types.setting(name, summary.seen_types))
        for name, number in ordered
        if name and number > 0 and summary.rejected
    ]


async def setting_for(context: OperatorContext, event_type: str) -> str | None:
    """Return the setting with which new events of this type are accepted, None if they already are.

    Raises StoreUnavailable.
    """
    types = await context.types()
    if types.accept(event_type):
        return None
    summary = await context.ledger.catalogue.summary(await context.stream())
    return types.setting(event_type, summary.seen_types)


def uncounted(summary: Summary) -> int:
    """Return how many events wait whose types are not counted one by one, because there are too many types."""
    return summary.waiting_types.get("", 0) if summary.rejected else 0
