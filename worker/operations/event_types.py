"""The types of events that come: which are accepted, how many events of the others wait, and what to do about them."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.events.event_type import EventTypes
from tasks.ledger.catalogue import Summary
from worker.operations.context import OperatorContext
from worker.operations.operator import Verb
from worker.operations.step import Step


@dataclass(frozen=True, slots=True)
class Waiting:
    """Rejected events of one type: if it means complete, `setting` accepts it from now on, `step` closes these.

    There is no `setting` where the type is accepted by now.
    """

    type: str
    events: int
    setting: str | None

    @property
    def step(self) -> Step:
        """What has these events closed after all."""
        return Step(Verb.ACCEPT_TYPE, event_type=self.type)


def waiting(summary: Summary, types: EventTypes) -> list[Waiting]:
    """The types whose events wait, those of which there are most first."""
    ordered = sorted(summary.waiting_types.items(), key=lambda item: (-item[1], item[0]))
    return [
        Waiting(name, number, None if types.accept(name) else types.setting(name, summary.seen_types))
        for name, number in ordered
        if name and number > 0 and summary.rejected
    ]


async def setting_for(context: OperatorContext, event_type: str) -> str | None:
    """The setting with which new events of this type are accepted; None when they are. Raises StoreUnavailable."""
    types = await context.types()
    if types.accept(event_type):
        return None
    summary = await context.catalogue.summary(await context.stream())
    return types.setting(event_type, summary.seen_types)


def uncounted(summary: Summary) -> int:
    """How many events wait whose types were too many to be counted one by one."""
    return summary.waiting_types.get("", 0) if summary.rejected else 0
