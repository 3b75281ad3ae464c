"""Other programs' consumer groups on the stream of events: an entry stays until each of them has read it."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import Any

from worker.operations.context import OperatorContext, asking

_COUNT_MOST = 10_000
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
    with asking():
        if not await context.redis.exists(stream):
            return []
        groups: Any = await context.redis.xinfo_groups(stream)
        now_s, _ = await context.redis.time()
    found = [await _look(context, stream, group, now_s) for group in groups]
    ours = context.ledger.namespace.group
    if any(one.events for one in found if one.group == ours):
        return []
    return [one for one in found if one.group != ours and one.events and one.oldest_s > _BEHIND_S]


async def _look(context: OperatorContext, stream: str, group: dict[str, Any], now_s: int) -> Behind:
    name, read = group["name"], group["last-delivered-id"].decode()
    with asking():
        unread: Any = await context.redis.xrange(stream, f"({read}", "+", count=1 if group["lag"] else _COUNT_MOST)
        held: Any = await context.redis.xpending(stream, name)
    # The lag is not known to the store where somebody has deleted entries: then they are counted, up to a limit.
    events = (group["lag"] or len(unread)) + held["pending"]
    ids = [entry_id for entry_id, _ in unread[:1]] + ([held["min"]] if held["pending"] else [])
    oldest_ms = min((int(entry_id.partition(b"-")[0]) for entry_id in ids), default=now_s * 1000)
    return Behind(name.decode("utf-8", "backslashreplace"), stream, events, max(0.0, now_s - oldest_ms / 1000))
