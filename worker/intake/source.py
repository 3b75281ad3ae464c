"""A source delivers events, and delivers each again until it is acknowledged."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tasks.events.batch import Element


@dataclass(frozen=True, slots=True)
class Delivery:
    """One message of a source.

    `tag`: what the source acknowledges it by. `size`: its length in bytes. `elements`: a function that reads the
    message; it returns at least one element and never raises. The pump calls it late, because one message may hold a
    thousand events.
    """

    tag: Any
    size: int
    elements: Callable[[], list[Element]]


class Source(Protocol):
    """A source of events. A delivery that is not acknowledged comes again, to this worker or to another one."""

    async def read(self, limit: int) -> list[Delivery]:
        """Return the next deliveries, at most `limit`. Waits up to about a second when there is none.

        Raises StoreUnavailable and LedgerBroken.
        """

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Acknowledge deliveries. The ledger has received each of their events, or keeps it as rejected.

        Raises StoreUnavailable and LedgerBroken; the deliveries may then come again.
        """
