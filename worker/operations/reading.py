"""Reading rejected bytes again, under the rules that hold now and those that an operator adds."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.events import batch
from tasks.events.event_type import EventTypes
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_selection import DeadLetterSelection


@dataclass(frozen=True, slots=True)
class Reading:
    """How rejected bytes are read again; see `tasks.events.event.parse`."""

    stream: str
    types: EventTypes
    use_subject: bool = False

    @classmethod
    async def of(cls, context: OperatorContext, selection: DeadLetterSelection) -> Reading:
        """How these are read: with one more type, or by their subject, where that was chosen."""
        types = await context.types()
        types = types.also(selection.accept_type) if selection.accept_type else types
        return cls(await context.stream(), types, selection.use_subject)

    def read(self, body: bytes, origin: str) -> list[batch.Element]:
        """The event, or the events of an array."""
        return batch.read(
            body, source=self.stream, event_id=origin, types=self.types, use_subject=self.use_subject
        )  # fmt: skip
