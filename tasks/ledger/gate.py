"""The gate, as it is looked at: whether calls are made, and every reason why not."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tasks.history import iso

REASONS = ("paused", "unauthorised", "outage", "throttled")  # the gravest first


@dataclass(frozen=True, slots=True)
class Standing:
    """One reason why the gate is shut. Times are ms since the epoch, store's clock.

    `until_ms`: it ends by itself then. `probe_at_ms`: one closure may be attempted then, and a good reply ends it.
    """

    reason: str
    since_ms: int
    by: str
    why: str
    until_ms: int | None = None
    probe_at_ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        """The reason as other programs see it (field names are a promise)."""
        until = None if self.until_ms is None else iso(self.until_ms)
        return {"reason": self.reason, "since": iso(self.since_ms), "until": until, "by": self.by, "why": self.why}


@dataclass(frozen=True, slots=True)
class SuspendedKey:
    """A key that the API refuses: its workers make no call but a probe now and then. `key`: a salted fingerprint."""

    key: str
    since_ms: int
    cause: str
    probe_at_ms: int

    def as_json(self, workers: list[str]) -> dict[str, Any]:
        """The key as other programs see it, with the workers that have it."""
        since, probe_at = iso(self.since_ms), iso(self.probe_at_ms)
        return {"key": self.key, "since": since, "cause": self.cause, "probe_at": probe_at, "workers": workers}


@dataclass(frozen=True, slots=True)
class Gate:
    """Open when no reason stands; `standing` has the gravest first. `window`: most calls in flight, None: no limit."""

    now_ms: int
    standing: tuple[Standing, ...] = ()
    suspended: tuple[SuspendedKey, ...] = ()
    window: int | None = None

    @classmethod
    def parse(cls, text: bytes) -> Gate:
        """Read what `gate_view` of `lua/lib/keys.lua` wrote."""
        view = json.loads(text)
        reasons, keys = view["reasons"] or {}, view["keys"] or {}  # Lua's empty table may come as a list
        suspended = [
            SuspendedKey(key, int(found["since"]), found.get("cause", ""), int(found["probe_at"]))
            for key, found in sorted(keys.items())
        ]
        first_probe = min((key.probe_at_ms for key in suspended), default=None)
        standing = [_standing(reason, reasons[reason], first_probe) for reason in REASONS if reason in reasons]
        window = view.get("window")
        return cls(int(view["now"]), tuple(standing), tuple(suspended), _ms(window))

    @property
    def open(self) -> bool:
        """Whether calls are made."""
        return not self.standing

    @property
    def gravest(self) -> Standing | None:
        """The gravest reason that stands."""
        return self.standing[0] if self.standing else None

    @property
    def reason(self) -> str | None:
        """The name of the gravest reason that stands."""
        return self.standing[0].reason if self.standing else None

    def as_json(self) -> dict[str, Any]:
        """The gate as other programs see it (field names are a promise): the gravest reason, and `reasons` with all."""
        nothing = {"reason": None, "since": None, "until": None, "by": None, "why": None}
        gravest = self.gravest.as_json() if self.gravest else nothing
        return {"open": self.open} | gravest | {"reasons": [one.as_json() for one in self.standing]}

    def get(self, reason: str) -> Standing | None:
        """This reason, if it stands."""
        return next((one for one in self.standing if one.reason == reason), None)


def _standing(reason: str, found: dict[str, Any], first_probe: int | None) -> Standing:
    """A refused key's probes are its own: the first of them counts for the gate."""
    probe_at = first_probe if reason == "unauthorised" else _ms(found.get("probe_at"))
    return Standing(
        reason, int(found["since"]), found.get("by", ""), found.get("why", ""), _ms(found.get("till")), probe_at
    )


def _ms(value: float | None) -> int | None:
    return None if value is None else int(value)
