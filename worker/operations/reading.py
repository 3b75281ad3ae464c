"""Reads rejected bytes again, under the rules that are in force now and those that an operator adds."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.events import batch
from tasks.events.event_type import EventTypes
from tasks.ledger.ledger import Ledger
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.settings import Settings


@dataclass(frozen=True, slots=True)
class Reading:
    """How rejected bytes are read again. The fields are arguments of `tasks.events.event.parse`.

    `stream`: the source of events that bring none. `types`: the accepted types. `use_subject`: whether the subject may
    name the group.
    """

    stream: str
    types: EventTypes
    use_subject: bool = False

    @classmethod
    async def of(cls, ledger: Ledger, settings: Settings, selection: DeadLetterSelection) -> Reading:
        """Return how the chosen events are read: with one more type, or by their subject, if the selection says so.

        The fleet's stream and types count, or those in `settings` before any worker has started. Raises
        StoreUnavailable.
        """
        policy = await ledger.policy.read()
        types = policy.types if policy else settings.accepted_types
        types = types.also(selection.accept_type) if selection.accept_type else types
        return cls(policy.stream if policy else settings.events_stream, types, selection.use_subject)

    def read(self, body: bytes, origin: str) -> list[batch.Element]:
        """Return the event, or each event of an array. `origin`: the id of events that bring none."""
        return batch.read(
            body, source=self.stream, event_id=origin, types=self.types, use_subject=self.use_subject
        )  # fmt: skip
