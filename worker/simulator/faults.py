"""Which faults the simulated API has: pure functions of (seed, reference, call number).

A fault of a *group* is drawn once for each reference and stays. A fault of a *call* is drawn for each (reference,
call number); a group's calls are counted from 1 over all endpoints. The draws depend neither on the clock nor on
the order in which groups are called, so a run can be repeated exactly.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

GroupFault = Literal["unlocked", "gone", "forbidden", "missing", "already_closed", "processing_404"]
CallFault = Literal["error_500", "error_503_html", "throttle_429", "cut_before", "cut_after", "unusable_200"]
Outage = Literal["none", "500", "hang", "refuse"]

GROUP_FAULTS: tuple[GroupFault, ...] = get_args(GroupFault)
CALL_FAULTS: tuple[CallFault, ...] = get_args(CallFault)
ROUNDING = 1e-9


def _rate(what: str) -> Any:
    return Field(default=0.0, ge=0.0, le=1.0, description=what)


class Faults(BaseModel):
    """How often each fault happens. Rates are shares in 0..1 of all groups, or of all calls.

    A group has at most one fault, and so has a call. So the rates of each kind add up to 1 at most.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    latency_s: float = Field(default=0.0, ge=0.0, description="Seconds every call takes.")
    latency_jitter_s: float = Field(default=0.0, ge=0.0, description="Up to so many seconds more, by seed.")

    unlocked: float = _rate("Groups that start open: close answers 409 until someone locks them.")
    gone: float = _rate("Groups that were removed: 410.")
    forbidden: float = _rate("Groups that this account may not close: 403.")
    missing: float = _rate("Groups that do not exist: 404.")
    already_closed: float = _rate("Groups that were closed before: close answers 304.")
    processing_404: float = _rate("Groups that are still being processed: their first calls answer 404.")
    processing_calls: int = Field(default=2, ge=1, description="How many first calls these are.")

    error_500: float = _rate("Calls that answer 500 with an error body.")
    error_503_html: float = _rate("Calls that answer 503 with a page of HTML.")
    throttle_429: float = _rate("Calls that a gateway throttles: 429 with Retry-After.")
    retry_after_s: int | None = Field(default=1, ge=0, description="Seconds in Retry-After.")
    cut_before: float = _rate("Calls whose connection is dropped before they take effect.")
    cut_after: float = _rate("Calls that take effect and whose reply is lost.")
    unusable_200: float = _rate("Calls that a proxy answers with 200 and its own page; no effect.")
    close_only: bool = Field(default=False, description="Let calls go wrong at the close endpoint only.")

    @model_validator(mode="after")
    def _rates_add_up(self) -> Self:
        for kind, names in (("group", GROUP_FAULTS), ("call", CALL_FAULTS)):
            total = sum(getattr(self, name) for name in names)
            if total > 1.0 + ROUNDING:
                raise ValueError(f"a {kind} has one fault at most, but {', '.join(names)} sum to {total:g}")
        return self


class Settings(BaseModel):
    """The settings that can be changed while the simulator runs.

    `outage` overrules all faults: every call answers 500, never gets an answer, or loses its connection.
    `api_key` is the only key accepted; None accepts any that is not empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outage: Outage = "none"
    api_key: str | None = Field(default=None, min_length=1, repr=False)
    faults: Faults = Faults()

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """These settings with `changes` on top; `faults` may be a part of them, the other rates stay.

        Raises pydantic.ValidationError, naming each wrong entry.
        """
        merged = {**self.model_dump(), **changes}
        if isinstance(merged["faults"], Mapping):
            merged["faults"] = {**self.faults.model_dump(), **merged["faults"]}
        return Settings.model_validate(merged)


def draw(seed: int, purpose: str, reference: str, call: int = 0) -> float:
    """A number in [0, 1), evenly spread. The same arguments always give the same number."""
    digest = blake2b(f"{seed}/{purpose}/{reference}/{call}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def group_fault(faults: Faults, seed: int, reference: str) -> GroupFault | None:
    """The fault that this group has for good, or None."""
    left = draw(seed, "group", reference)
    for name in GROUP_FAULTS:
        left -= getattr(faults, name)
        if left < 0:
            return name
    return None


def call_fault(faults: Faults, seed: int, reference: str, call: int) -> CallFault | None:
    """The fault of a group's n-th call (`call` counts from 1), or None."""
    left = draw(seed, "call", reference, call)
    for name in CALL_FAULTS:
        left -= getattr(faults, name)
        if left < 0:
            return name
    return None


def latency_s(faults: Faults, seed: int, reference: str, call: int) -> float:
    """Seconds that a group's n-th call takes."""
    if not faults.latency_jitter_s:
        return faults.latency_s
    return faults.latency_s + faults.latency_jitter_s * draw(seed, "latency", reference, call)
