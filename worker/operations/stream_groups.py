"""Other programs' consumer groups on the stream of events: an entry stays until each of them has read it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tasks.ledger.event_stream import StreamGroup
from worker.operations.context import OperatorContext

_BEHIND_S = 60.0  # a group that reads at all is not this far behind while ours has read everything


@dataclass(frozen=True, slots=True)
class Behind:
    """A group that keeps events in the store: how many it has not read or acknowledged, and how old the oldest is."""

    group: str
    stream: str
    events: int
    oldest_s: float

    @property
    def remedy(self) -> str:
        """What to do about it, with a command of the store's."""
        command = shlex.join(["XGROUP", "DESTROY", self.stream, self.group])
        return f"see that the program that reads it runs; if nobody needs this group any more: {command}"


async def behind(context: OperatorContext) -> list[Behind]:
    """The groups that do not read, though ours has read everything. Raises StoreUnavailable."""
    stream = await context.stream()
    now_ms = await context.now_ms()
    found = [_behind(stream, group, now_ms) for group in await context.ledger.events.groups(stream)]
    ours = context.ledger.namespace.group
    if any(one.events for one in found if one.group == ours):
        return []
    return [one for one in found if one.group != ours and one.events and one.oldest_s > _BEHIND_S]


def _behind(stream: str, group: StreamGroup, now_ms: int) -> Behind:
    oldest_ms = now_ms if group.oldest_ms is None else group.oldest_ms
    return Behind(group.name, stream, group.events, max(0.0, (now_ms - oldest_ms) / 1000))
