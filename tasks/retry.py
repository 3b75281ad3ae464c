"""What to do after a verdict: settle, or when to try again. Pure: the clock and the dice come in as arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import assert_never

from tasks.api.reply import NoReply, Reply
from tasks.closure import Outcome, Reason
from tasks.verdict import (
    CLOSED,
    Ambiguous,
    Closed,
    Halt,
    Locked,
    NotLocked,
    Refused,
    Retry,
    RetryPace,
    Verdict,
    group_state,
)

MISSING_TRIES = 5
# Failures that an API may also tell of a group that is closed; for all others its state has been asked already.
DOUBTFUL = frozenset(
    {Reason.FORBIDDEN, Reason.NOT_FOUND, Reason.GONE, Reason.INVALID_REQUEST, Reason.DEADLINE_EXCEEDED}
)
_SLOWER = 2  # a slow retry waits as long as one that has failed this many times more

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class Policy:
    """The pauses between attempts, in seconds: `0 < base_s <= cap_s`."""

    base_s: float = 5.0
    cap_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Tries:
    """What has been tried since the closure was last queued by an event or an operator."""

    failures: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The group is closed. `cause`: what had spoken against it, where something had."""

    outcome: Outcome
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay_s` seconds."""

    delay_s: float
    cause: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """An operator must look at it."""

    reason: Reason
    cause: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Nothing was learnt about the group: queue it again as it was."""

    cause: str


Decision = Done | Again | GiveUp | GiveBack


def decide(verdict: Verdict, tries: Tries, remaining_s: float, policy: Policy, uniform: Uniform) -> Decision:
    """What to do after `verdict`, `remaining_s` seconds before the deadline (negative: after it)."""
    match verdict:
        case Closed(outcome):
            return Done(outcome)
        case Refused(reason, cause):
            return GiveUp(reason, cause)
        case NotLocked(cause):
            return GiveUp(Reason.NOT_LOCKED, cause)
        case Halt(cause):
            return GiveBack(cause)
        case Retry():
            return _again(verdict, tries, remaining_s, policy, uniform)
        case Ambiguous(cause, _):
            return _again(Retry(cause), tries, remaining_s, policy, uniform)
        case Locked():
            return _again(Retry("locked but not closed"), tries, remaining_s, policy, uniform)
        case _:
            assert_never(verdict)


def reconsider(given_up: GiveUp, reply: Reply | NoReply, reference: str) -> Done | GiveUp:
    """The decision after the group's state was asked for, once, before it fails.

    Only `closed` changes it. Any other answer, or none, is no reason to try again.
    """
    state = group_state(reply, reference)
    cause = f"{given_up.cause}; asked for its state: {state or f'no answer ({reply})'}"
    return Done(Outcome.ALREADY_CLOSED, cause) if state == CLOSED else replace(given_up, cause=cause)


def backoff_s(failures: int, policy: Policy, uniform: Uniform, *, slow: bool = False) -> float:
    """The pause after `failures` failures in a row (0: the first), in seconds: never under base, never over cap.

    Full jitter over an exponentially growing range ("Exponential Backoff And Jitter", AWS Architecture Blog), kept
    positive by the base: [base, min(cap, base x 2^(failures + 1))]. A slow pause starts where the range has grown.
    """
    step = failures + _SLOWER if slow else failures
    longest = min(policy.cap_s, policy.base_s * 2.0 ** min(step + 1, 64))
    shortest = min(policy.cap_s, policy.base_s * 2.0**_SLOWER) if slow else policy.base_s
    return uniform(shortest, longest)


def _again(retry: Retry, tries: Tries, remaining_s: float, policy: Policy, uniform: Uniform) -> Decision:
    missing = retry.pace is RetryPace.MISSING
    if missing and tries.missing + 1 >= MISSING_TRIES:
        return GiveUp(Reason.NOT_FOUND, retry.cause)
    if remaining_s <= 0:
        return GiveUp(Reason.NOT_FOUND if missing else retry.at_deadline, retry.cause)
    failures = tries.missing if missing else tries.failures
    delay_s = backoff_s(failures, policy, uniform, slow=retry.pace is RetryPace.SLOW)
    told_s = retry.retry_after_s
    earliest_s = told_s + uniform(0, min(policy.base_s, 1.0)) if told_s else 0.0
    # The last attempt falls on the deadline itself, or on a Retry-After that lies beyond it.
    latest_s = earliest_s if told_s > remaining_s else remaining_s
    return Again(max(min(max(delay_s, earliest_s), latest_s), told_s), retry.cause, missing)
