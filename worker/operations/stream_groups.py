"""Finds other programs' consumer groups that keep events on the stream.

An entry stays in the store until each group has read and acknowledged it.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass

from tasks.ledger.event_stream import StreamGroup
from worker.operations.context import OperatorContext

_BEHIND_S = 60.0  # while ours has read everything, a group that still reads is not this far behind


@dataclass(frozen=True, slots=True)
class Behind:
    """A group that keeps events in the store.

    `events`: how many it has not read or not acknowledged. `oldest_s`: the age of the oldest of them (s).
    """

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
    """Return the groups that keep events more than a minute old, although ours has read everything.

    While our own group has events to read, it returns none. Raises StoreUnavailable.
    """
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
