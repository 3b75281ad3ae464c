"""The gate decides whether the fleet makes calls. This module reads it, and opens and shuts it for operators."""

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
    """One reason why the gate is shut. Times are ms since the epoch, by the store's clock.

    `reason`: one of `REASONS`. `by`, `why`: who or what shut the gate, and what for. `until_ms`: when the reason ends
    by itself; None when it does not. `probe_at_ms`: when one closure may be attempted; a good reply ends the reason.
    """

    reason: str
    since_ms: int
    by: str
    why: str
    until_ms: int | None = None
    probe_at_ms: int | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the reason as other programs see it. The names of its fields do not change between releases."""
        until = None if self.until_ms is None else iso(self.until_ms)
        return {"reason": self.reason, "since": iso(self.since_ms), "until": until, "by": self.by, "why": self.why}


@dataclass(frozen=True, slots=True)
class SuspendedKey:
    """A key that the API refuses. Its workers make no call except a probe now and then.

    `key`: its name, a salted fingerprint, see `worker.attempts.permission.key_name`. `since_ms`, `probe_at_ms`: since
    when it is refused, and when its next probe may be made (ms since the epoch). `cause`: the reply that suspended it.
    """

    key: str
    since_ms: int
    cause: str
    probe_at_ms: int

    def as_json(self, workers: list[str]) -> dict[str, Any]:
        """Return the key as other programs see it, with the names of the workers that use it."""
        since, probe_at = iso(self.since_ms), iso(self.probe_at_ms)
        return {"key": self.key, "since": since, "cause": self.cause, "probe_at": probe_at, "workers": workers}


@dataclass(frozen=True, slots=True)
class Gate:
    """The gate at the time `now_ms` (ms since the epoch). It is open when no reason stands.

    `standing`: the reasons, the gravest first. `suspended`: the keys that the API refuses. `window`: the most calls
    that may be in flight while the gate opens; None: no limit.
    """

    now_ms: int
    standing: tuple[Standing, ...] = ()
    suspended: tuple[SuspendedKey, ...] = ()
    window: int | None = None

    @classmethod
    def parse(cls, text: bytes) -> Gate:
        """Read the JSON that `gate_view` of `lua/lib/keys.lua` makes."""
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
        """Whether the fleet makes calls."""
        return not self.standing

    @property
    def gravest(self) -> Standing | None:
        """The gravest reason that stands, or None when the gate is open."""
        return self.standing[0] if self.standing else None

    @property
    def reason(self) -> str | None:
        """The name of the gravest reason that stands, or None when the gate is open."""
        return self.standing[0].reason if self.standing else None

    def as_json(self) -> dict[str, Any]:
        """Return the gate as other programs see it: the gravest reason, and all of them in `reasons`.

        The names of the fields do not change between releases.
        """
        nothing = {"reason": None, "since": None, "until": None, "by": None, "why": None}
        gravest = self.gravest.as_json() if self.gravest else nothing
        return {"open": self.open} | gravest | {"reasons": [one.as_json() for one in self.standing]}

    def get(self, reason: str) -> Standing | None:
        """Return this reason if it stands, else None."""
        return next((one for one in self.standing if one.reason == reason), None)


class Slot(NamedTuple):
    """A reserved call, and the gate. `wait_s`: seconds until the call; None: the gate is shut, nothing is reserved."""

    wait_s: float | None
    gate: Gate


class GateControl:
    """Shuts, opens and reads the fleet's gate. Every method may raise StoreUnavailable and LedgerBroken.

    `by`, `why` and `door` name the operator, the purpose and the front end that was used. They go into the audit in the
    same step as the change, so neither can exist without the other.
    """

    def __init__(self, scripts: Scripts) -> None:
        self._scripts = scripts

    async def look(self) -> Gate:
        """Return the gate. Nothing is changed, so a probe of health may call this."""
        return Gate.parse(await self._scripts.run("look"))

    async def pause(self, *, by: str = "", why: str = "", door: str = "") -> Gate:
        """Shut the gate until `resume`, and return it."""
        return Gate.parse(await self._scripts.run("gate", "pause", by, why, "", door))

    async def resume(self, *, by: str = "", why: str = "", door: str = "", override_retry_after: bool = False) -> Gate:
        """End a pause, make the next probe due at once, and return the gate.

        A wait that the API asked for by Retry-After (RFC 9110, 10.2.3) goes on, unless `override_retry_after` ends it.
        """
        verb = "override" if override_retry_after else "resume"
        return Gate.parse(await self._scripts.run("gate", verb, by, why, "", door))

    async def throttle(self, hold_s: float) -> Gate:
        """Hold the whole fleet back for `hold_s` seconds, because the API asked for that. Returns the gate."""
        return Gate.parse(await self._scripts.run("gate", "throttle", "", "", round_up_ms(hold_s)))

    async def start_slowly(self, key: str = "") -> Gate:
        """Allow few calls at first, because a worker starts. Returns the gate.

        `key`: the name of its API key. Nothing changes when that key is suspended or the gate is shut.
        """
        return Gate.parse(await self._scripts.run("gate", "start", "", "", key))

    async def slot(self, rate_limit: float, *, while_shut: Iterable[str] = ()) -> Slot:
        """Reserve the next call under the rate limit, for a call that needs no claim, such as asking for a state.

        `rate_limit`: calls per second of the whole fleet, 0 for no limit; it counts only until the fleet has a policy.
        `while_shut`: the reasons that do not forbid this call.
        """
        wait_ms, gate = await self._scripts.run("slot", pause_ms(rate_limit), " ".join(while_shut))
        return Slot(None if wait_ms < 0 else wait_ms / 1000, Gate.parse(gate))


def _standing(reason: str, found: dict[str, Any], first_probe: int | None) -> Standing:
    """Read one reason. Each suspended key has its own next probe, so the gate shows the earliest of them."""
    probe_at = first_probe if reason == "unauthorised" else _ms(found.get("probe_at"))
    return Standing(
        reason, int(found["since"]), found.get("by", ""), found.get("why", ""), _ms(found.get("till")), probe_at
    )


def _ms(value: float | None) -> int | None:
    return None if value is None else int(value)
