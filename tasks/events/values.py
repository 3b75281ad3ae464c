"""What an event says: that a group is complete, that it is not, or that the bytes are not an event."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class GroupComplete:
    """An event that says that a shipment group is complete.

    `source` and `event_id` together identify it: a second event with both the same is a duplicate. `time`: as the event
    gives it. `not_before_ms`: the time before which the group must not be closed (ms since the epoch). `type`: what the
    event calls itself, None if it has no type; it does not count when events are compared. `time_ms`: its time (ms
    since the epoch), to compare it with cancel events; it is read only where cancel events are accepted.
    """

    reference: str
    source: str
    event_id: str
    custom_reference: str | None = None
    time: str | None = None
    traceparent: str | None = None
    type: str | None = field(default=None, compare=False)
    not_before_ms: int | None = None
    time_ms: int | None = None


@dataclass(frozen=True, slots=True)
class GroupCancelled:
    """An event that takes back that a group is complete: the group must be held.

    The fields are those of `GroupComplete`. `time_ms`: None when the event has no time that can be read; then only a
    person ends its hold.
    """

    reference: str
    source: str
    event_id: str
    time_ms: int | None = None
    type: str | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why bytes are not an event.

    `problems`: one `field: problem` line for each thing that is wrong. `refused_type`: the event's type, if it is not
    one of those that are accepted.
    """

    problems: tuple[str, ...]
    refused_type: str | None = None

    @property
    def subject_unused(self) -> bool:
        """Whether its subject may name the group, and was not used because there are data."""
        return any(problem.startswith("subject:") and "is not used" in problem for problem in self.problems)

    def __str__(self) -> str:
        return "; ".join(self.problems)
