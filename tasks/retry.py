"""Decides what to do after a verdict: settle the closure, or try again after a pause.

Pure: the time that is left, the tries so far and the source of randomness come in as arguments.
"""

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
# The API may report these for a group that is closed. For all other reasons its state has been asked for already.
DOUBTFUL = frozenset(
    {Reason.FORBIDDEN, Reason.NOT_FOUND, Reason.GONE, Reason.INVALID_REQUEST, Reason.DEADLINE_EXCEEDED}
)
_SLOWER = 2  # a slow retry waits as if it had failed this many times more

Uniform = Callable[[float, float], float]


@dataclass(frozen=True, slots=True)
class Policy:
    """The pauses between attempts, in seconds: `0 < base_s <= cap_s`."""

    base_s: float = 5.0
    cap_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Tries:
    """How often the closure was tried since an event or an operator last queued it.

    `missing`: attempts for which the API knew no such group. `failures`: all other attempts that ended in a retry.
    """

    failures: int = 0
    missing: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """The group is closed. `cause`: the refusal that came first, when the state was asked for after it; else ""."""

    outcome: Outcome
    cause: str = ""


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after `delay_s` seconds (0 or more).

    `cause`: why this attempt failed. `missing`: whether the API knew no such group.
    """

    delay_s: float
    cause: str
    missing: bool = False


@dataclass(frozen=True, slots=True)
class GiveUp:
    """The closure fails, and an operator must look at it. `cause`: the reply or the error that led to it."""

    reason: Reason
    cause: str


@dataclass(frozen=True, slots=True)
class GiveBack:
    """Nothing was learnt about the group, so it is queued again as it was. This does not count as a failure."""

    cause: str


Decision = Done | Again | GiveUp | GiveBack


def decide(verdict: Verdict, tries: Tries, remaining_s: float, policy: Policy, uniform: Uniform) -> Decision:
    """Return what to do after `verdict`.

    `remaining_s`: seconds to the closure's deadline, negative after it. `uniform`: draws a number between two. A
    `Retry` becomes a failure when the deadline has passed, or when the API knew no such group five times.
    """
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
    """Return the decision after the group's state was asked for, which is done once before a closure fails.

    `given_up`: the decision before. `reply`: the answer. Only `closed` changes the decision. Any other answer, or none,
    leaves it as it was, with the answer added to its cause.
    """
    state = group_state(reply, reference)
    cause = f"{given_up.cause}; asked for its state: {state or f'no answer ({reply})'}"
    return Done(Outcome.ALREADY_CLOSED, cause) if state == CLOSED else replace(given_up, cause=cause)


def backoff_s(failures: int, policy: Policy, uniform: Uniform, *, slow: bool = False) -> float:
    """Return the pause after a failed attempt, in seconds, between `policy.base_s` and `policy.cap_s`.

    `failures`: failed attempts before this one, 0 for the first. The pause is drawn from [base, min(cap, base x
    2^(failures + 1))]. That is "full jitter" ("Exponential Backoff And Jitter", AWS Architecture Blog), but it is never
    shorter than the base. `slow`: the range is that of two failures more, and begins at 4 x base.
    """
    step = failures + _SLOWER if slow else failures
    longest = min(policy.cap_s, policy.base_s * 2.0 ** min(step + 1, 64))
    shortest = min(policy.cap_s, policy.base_s * 2.0**_SLOWER) if slow else policy.base_s
    return uniform(shortest, longest)


def _again(retry: Retry, tries: Tries, remaining_s: float, policy: Policy, uniform: Uniform) -> Decision:
    """Return when to try again, or that it fails. The API's Retry-After is a lower limit, even beyond the deadline."""
    missing = retry.pace is RetryPace.MISSING
    if missing and tries.missing + 1 >= MISSING_TRIES:
        return GiveUp(Reason.NOT_FOUND, retry.cause)
    if remaining_s <= 0:
        return GiveUp(Reason.NOT_FOUND if missing else retry.at_deadline, retry.cause)
    failures = tries.missing if missing else tries.failures
    delay_s = backoff_s(failures, policy, uniform, slow=retry.pace is RetryPace.SLOW)
    told_s = retry.retry_after_s
    earliest_s = told_s + uniform(0, min(policy.base_s, 1.0)) if told_s else 0.0
    # The last attempt is made at the deadline, or when a Retry-After that ends later is over.
    latest_s = earliest_s if told_s > remaining_s else remaining_s
    return Again(max(min(max(delay_s, earliest_s), latest_s), told_s), retry.cause, missing)
