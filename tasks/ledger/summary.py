"""The counts of the whole ledger at one moment."""

from __future__ import annotations

from dataclasses import dataclass

from tasks.closure import Reason, State
from tasks.ledger.gate import Gate
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.values import Unreadable


@dataclass(frozen=True, slots=True)
class Summary:
    """The counts that `closer status` shows. Times are ms since the epoch, by the store's clock, which says `now_ms`.

    `states`, `failed`: closures by state, and failed ones by reason. `closed_last_minute`, `closed_last_hour`: groups
    that were closed within that time. `oldest_open_ms`: when the oldest unfinished closure was received, or its time
    came; None when there is none. `waiting`: queued closures whose time has not come. `held_long`: closures that are
    held for more than a day. `cancelled`: groups that events hold. `late`: groups for which a cancel event came after
    they were closed, within a day; `late_groups`: the last of them, and when. `rejected`: events put aside. `backlog`:
    events on the stream that are not received yet.

    `workers`: each worker's last heartbeat, and fields of the same hash that no worker wrote. `waiting_types`: how many
    rejected events wait for their type to be accepted; "" counts those of all further types together. `seen_types`:
    when an event of each type last came, for types of the last day.
    """

    now_ms: int
    states: dict[State, int]
    failed: dict[Reason, int]
    closed_last_minute: int
    closed_last_hour: int
    oldest_open_ms: int | None
    waiting: int
    held_long: int
    cancelled: int
    late: int
    late_groups: dict[str, int]
    rejected: int
    backlog: int
    gate: Gate
    workers: list[Heartbeat | Unreadable]
    waiting_types: dict[str, int]
    seen_types: dict[str, int]
