"""Names what belongs to one fleet: its keys, its stream, its consumer group and its queues.

One store and one broker carry several fleets, and each has a namespace of its own.
"""

from __future__ import annotations

from dataclasses import dataclass

NAMESPACE_PATTERN = r"^[A-Za-z0-9_.-]{1,64}\Z"
_DEFAULT = "closer"


@dataclass(frozen=True, slots=True)
class Namespace:
    """The names that belong to one fleet.

    `name`: 1 to 64 characters of `A-Z a-z 0-9 _ . -` (NAMESPACE_PATTERN). The caller has checked that.
    """

    name: str = _DEFAULT

    @property
    def is_default(self) -> bool:
        """Whether the fleet has the default namespace, `closer`."""
        return self.name == _DEFAULT

    @property
    def prefix(self) -> str:
        """The beginning of every key of the fleet in the store.

        The braces are a hash tag: a cluster keeps all keys with the same tag in one slot, so one script may use them
        all.
        """
        return f"{{{self.name}}}:"

    @property
    def stream(self) -> str:
        """The stream that events come on, unless CLOSER_EVENTS_STREAM names another one."""
        return "shipment-groups.complete" if self.is_default else f"{self.prefix}shipment-groups.complete"

    @property
    def group(self) -> str:
        """The fleet's consumer group on that stream."""
        return _DEFAULT if self.is_default else f"{_DEFAULT}:{self.name}"

    @property
    def queue(self) -> str:
        """The queue of task messages in RabbitMQ. By default it is Celery's, so that other programs need no setting."""
        return "celery" if self.is_default else f"celery.{self.name}"

    @property
    def dead_letters(self) -> str:
        """The queue in RabbitMQ for task messages that were given up."""
        return f"{self.queue}.dead"


DEFAULT_NAMESPACE = Namespace()


def is_closers_group(group: str) -> bool:
    """Return whether a consumer group of this name belongs to any fleet of closer's, this one or another."""
    return group == _DEFAULT or group.startswith(f"{_DEFAULT}:")
