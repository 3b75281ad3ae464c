"""The namespace of a fleet: how its keys, its stream, its consumer group and its queues are called.

One store and one broker carry several fleets, each with a namespace of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE_PATTERN = r"^[A-Za-z0-9_.-]{1,64}\Z"
_DEFAULT = "closer"


@dataclass(frozen=True, slots=True)
class Namespace:
    """The names that belong to one fleet. `name` matches NAMESPACE_PATTERN; the caller has checked that."""

    name: str = _DEFAULT

    @property
    def is_default(self) -> bool:
        """Whether this is the namespace of a fleet that was given none."""
        return self.name == _DEFAULT

    @property
    def prefix(self) -> str:
        """What every key in the store begins with.

        The braces are a hash tag: a cluster keeps all keys with the same tag in one slot, so that one script may use
        them all.
        """
        return f"{{{self.name}}}:"

    @property
    def stream(self) -> str:
        """The stream that events come on, unless a setting names another one."""
        return "shipment-groups.complete" if self.is_default else f"{self.prefix}shipment-groups.complete"

    @property
    def group(self) -> str:
        """The consumer group on that stream."""
        return _DEFAULT if self.is_default else f"{_DEFAULT}:{self.name}"

    @property
    def queue(self) -> str:
        """RabbitMQ's queue of task messages: by default Celery's, so that other programs need no setting."""
        return "celery" if self.is_default else f"celery.{self.name}"

    @property
    def dead_letters(self) -> str:
        """RabbitMQ's queue of task messages that were given up."""
        return f"{self.queue}.dead"


DEFAULT_NAMESPACE = Namespace()


def is_closers_group(group: str) -> bool:
    """Whether a consumer group of this name belongs to a fleet of closer's, this one or another."""
    return group == _DEFAULT or group.startswith(f"{_DEFAULT}:")
