"""The gate: whether calls are made, every reason why not, and what shuts and opens it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from tasks.history import iso
from tasks.ledger.scripts import Scripts
from tasks.ledger.values import pause_ms, round_up_ms

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


class Slot(NamedTuple):
    """`wait_s`: how long before the call (None: the gate is shut, nothing was reserved); the gate as it is."""

    wait_s: float | None
    gate: Gate


class GateControl:
    """Shuts, opens and looks at the gate of the fleet. Every method raises StoreUnavailable or LedgerBroken."""

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def look(self) -> Gate:
        """Look at the gate; nothing is changed."""
        return Gate.parse(await self._scripts.run("look"))

    async def pause(self, *, by: str = "", why: str = "", door: str = "") -> Gate:
        """Shut the gate until `resume`; audited in the same step."""
        return Gate.parse(await self._scripts.run("gate", "pause", by, why, "", door))

    async def resume(self, *, by: str = "", why: str = "", door: str = "", override_retry_after: bool = False) -> Gate:
        """End a pause, and make the next probe due at once; audited in the same step.

        What the API asked for by Retry-After still stands, unless `override_retry_after`.
        """
        verb = "override" if override_retry_after else "resume"
        return Gate.parse(await self._scripts.run("gate", verb, by, why, "", door))

    async def throttle(self, hold_s: float) -> Gate:
        """The API asked for this many seconds without calls: the whole fleet holds back."""
        return Gate.parse(await self._scripts.run("gate", "throttle", "", "", round_up_ms(hold_s)))

    async def start_slowly(self, key: str = "") -> Gate:
        """A worker starts: few calls at first, unless its key is known to be refused."""
        return Gate.parse(await self._scripts.run("gate", "start", "", "", key))

    async def slot(self, rate_limit: float, *, while_shut: Iterable[str] = ()) -> Slot:
        """Reserve the next call under the rate limit for one that needs no claim; `while_shut`: reasons passed over."""
        wait_ms, gate = await self._scripts.run("slot", pause_ms(rate_limit), " ".join(while_shut))
        return Slot(None if wait_ms < 0 else wait_ms / 1000, Gate.parse(gate))


def _standing(reason: str, found: dict[str, Any], first_probe: int | None) -> Standing:
    """A refused key's probes are its own: the first of them counts for the gate."""
    probe_at = first_probe if reason == "unauthorised" else _ms(found.get("probe_at"))
    return Standing(
        reason, int(found["since"]), found.get("by", ""), found.get("why", ""), _ms(found.get("till")), probe_at
    )


def _ms(value: float | None) -> int | None:
    return None if value is None else int(value)
