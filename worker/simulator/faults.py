"""Decides which faults the simulated API has, by pure functions of the seed, the reference and the number of the call.

The fault of a *group* is drawn once for each reference and stays. The fault of a *call* is drawn for each reference and
number of a call; a group's calls are counted from 1 over all endpoints. Neither the clock nor the order in which groups
are called changes a draw, so a run can be repeated exactly.
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
    """How often each fault happens. A rate is a share of all groups, or of all calls, from 0 to 1.

    A group has at most one fault, and so has a call. So the rates of each kind add up to at most 1.
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

    `outage` overrules all faults. With `500` every call answers 500, with `hang` it never gets an answer, with `refuse`
    it loses its connection. `api_key`: the only key that is accepted; None accepts any that is not empty.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    outage: Outage = "none"
    api_key: str | None = Field(default=None, min_length=1, repr=False)
    faults: Faults = Faults()

    def changed(self, changes: Mapping[str, Any]) -> Settings:
        """Return these settings with changes.

        `changes` may hold only some of the `faults`; the others stay as they are. Raises pydantic.ValidationError that
        names each wrong entry.
        """
        merged = {**self.model_dump(), **changes}
        if isinstance(merged["faults"], Mapping):
            merged["faults"] = {**self.faults.model_dump(), **merged["faults"]}
        return Settings.model_validate(merged)


def draw(seed: int, purpose: str, reference: str, call: int = 0) -> float:
    """Return a number in [0, 1), evenly spread. The same arguments always give the same number."""
    digest = blake2b(f"{seed}/{purpose}/{reference}/{call}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest, "big") >> 11) / (1 << 53)


def group_fault(faults: Faults, seed: int, reference: str) -> GroupFault | None:
    """Return the fault that this group has for good, or None."""
    left = draw(seed, "group", reference)
    for name in GROUP_FAULTS:
        left -= getattr(faults, name)
        if left < 0:
            return name
    return None


def call_fault(faults: Faults, seed: int, reference: str, call: int) -> CallFault | None:
    """Return the fault of a group's call, or None. `call`: its number, from 1."""
    left = draw(seed, "call", reference, call)
    for name in CALL_FAULTS:
        left -= getattr(faults, name)
        if left < 0:
            return name
    return None


def latency_s(faults: Faults, seed: int, reference: str, call: int) -> float:
    """Return how long a group's call takes (s). `call`: its number, from 1."""
    if not faults.latency_jitter_s:
        return faults.latency_s
    return faults.latency_s + faults.latency_jitter_s * draw(seed, "latency", reference, call)
