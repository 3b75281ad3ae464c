"""A hold: who keeps a group from being called, and why."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tasks.history import iso


@dataclass(frozen=True, slots=True)
class Hold:
    """Who holds a group, why, and since when (ms since the epoch, store's clock). `door`: the front end they used.

    `source`: the source of the event that made the hold; None when a person made it.
    """

    by: str
    why: str
    at_ms: int
    door: str = ""
    source: str | None = None

    def as_json(self) -> dict[str, Any]:
        """The hold as other programs see it."""
        return {
            "by": self.by,
            "why": self.why,
            "since": iso(self.at_ms),
            "door": self.door or None,
            "source": self.source,
        }
