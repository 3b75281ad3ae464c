"""A hold: who keeps a group from being called, and why. And the events that cancel a group."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.history import iso


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a group, why, and since when (ms since the epoch, store's clock). `door`: the front end they used.

    `source`, `event_id`: of the event that made the hold; None when a person made it. `cancels`: the sources whose
    cancel events stand, also beside a person's hold.
    """

    by: str
    why: str
    at_ms: int
    door: str = ""
    source: str | None = None
    event_id: str | None = None
    cancels: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """The hold as other programs see it."""
        return {
            "by": self.by,
            "why": self.why,
            "since": iso(self.at_ms),
            "door": self.door or None,
            "source": self.source,
            "event_id": self.event_id,
            "cancelled_by": list(self.cancels),
        }


@dataclass(frozen=True, slots=True)
class Cancel:
    """A cancel event that came for a group, and when (ms since the epoch, store's clock).

    `word`: what became of it, as a value of `tasks.ledger.values.Received`.
    """

    at_ms: int
    word: str
    source: str
    event_id: str

    def as_json(self) -> dict[str, Any]:
        """The cancel event as other programs see it."""
        return {"at": iso(self.at_ms), "result": self.word, "source": self.source, "event_id": self.event_id}
