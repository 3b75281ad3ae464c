"""A source: where events come from, one delivery after the other, until each is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.events.batch import Element


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of a source.

    `tag` is what the source acknowledges it by, `size` is in bytes. `elements` reads what the message holds, which is
    at least one element, and never raises. It is called late, because one message may hold a thousand events.
    """

    tag: Any
    size: int
    elements: Callable[[], list[Element]]


class Source(Protocol):
    """A source of events. What is not acknowledged is delivered again, to this worker or to another one."""

    async def read(self, limit: int) -> list[Delivery]:
        """The next deliveries, `limit` at most; waits for one, but not for much longer than a second.

        Raises StoreUnavailable and LedgerBroken.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """These are done with: the ledger has each of their events, or keeps it as rejected. Raises as `read`."""
