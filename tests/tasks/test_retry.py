"""Retry: when to try again and when to give up, whatever the dice."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.closure import Outcome, Reason
from tasks.retry import (
    MISSING_TRIES,
    Again,
    Decision,
    Done,
    GiveBack,
    GiveUp,
    Policy,
    Tries,
    backoff_s,
    decide,
)
from tasks.verdict import Ambiguous, Closed, Halt, Locked, NotLocked, Refused, Retry, RetryPace, Verdict

DAY_S = 86_400.0
POLICY = Policy(base_s=5, cap_s=900)
policies = st.tuples(st.floats(0.01, 100), st.floats(1, 1000)).map(lambda pair: Policy(pair[0], pair[0] * pair[1]))
retries = st.builds(
    Retry,
    cause=st.just("x"),
    pace=st.sampled_from(RetryPace),
    retry_after_s=st.just(0.0) | st.floats(0, 1e5),
    at_deadline=st.sampled_from(Reason),
)
all_tries = st.builds(Tries, failures=st.integers(0, 10**6), missing=st.integers(0, MISSING_TRIES))
seeds = st.integers(0, 2**32)


def lowest(low: float, high: float) -> float:
    """Dice that always show the least."""
    return low


def highest(low: float, high: float) -> float:
    """Dice that always show the most."""
    return high


@pytest.mark.parametrize(
    ("verdict", "decision"),
    [
        (Closed(Outcome.ALREADY_CLOSED), Done(Outcome.ALREADY_CLOSED)),
        (Refused(Reason.GONE, "x"), GiveUp(Reason.GONE, "x")),
        (NotLocked("x"), GiveUp(Reason.NOT_LOCKED, "x")),
        (Halt("x"), GiveBack("x")),
        (Retry("x"), Again(5, "x")),
        (Retry("x", RetryPace.SLOW), Again(20, "x")),
        (Retry("x", RetryPace.MISSING), Again(5, "x", missing=True)),
        (Retry("x", retry_after_s=60), Again(60, "x")),
        (Ambiguous("x", conflict=True), Again(5, "x")),
        (Locked(), Again(5, "locked but not closed")),
    ],
)
def test_decisions(verdict: Verdict, decision: Decision) -> None:
    """What follows from each verdict at the first attempt."""
    assert decide(verdict, Tries(), DAY_S, POLICY, lowest) == decision


@given(retries, all_tries, st.floats(-1e5, 1e6), policies, seeds)
def test_pauses(retry: Retry, tries: Tries, remaining_s: float, policy: Policy, seed: int) -> None:
    """Never before Retry-After; else never over the cap, and under the base only to meet the deadline."""
    decision = decide(retry, tries, remaining_s, policy, random.Random(seed).uniform)
    again = decide(retry, tries, remaining_s, policy, random.Random(seed).uniform)
    assert decision == again, "the same dice decide the same"
    if isinstance(decision, Again):
        assert decision.delay_s >= retry.retry_after_s
        assert decision.delay_s >= min(policy.base_s, remaining_s)
        assert decision.delay_s <= max(policy.cap_s * 1.000001, retry.retry_after_s + 1)
        if retry.retry_after_s <= remaining_s:
            assert decision.delay_s <= remaining_s, "the last attempt falls on the deadline"
        else:
            assert decision.delay_s <= retry.retry_after_s + 1, "the last attempt falls on the time that was told"
        assert decision.missing == (retry.pace is RetryPace.MISSING)


@given(retries, all_tries, st.floats(-1e5, 0), policies, seeds)
def test_gives_up_at_the_deadline(retry: Retry, tries: Tries, remaining_s: float, policy: Policy, seed: int) -> None:
    """At the deadline it fails, with the verdict's reason; a missing group is `not_found`."""
    decision = decide(retry, tries, remaining_s, policy, random.Random(seed).uniform)
    assert decision == GiveUp(Reason.NOT_FOUND if retry.pace is RetryPace.MISSING else retry.at_deadline, "x")


@given(retries, all_tries, st.floats(0.001, 1e6), policies)
def test_tries_on_before_the_deadline(retry: Retry, tries: Tries, remaining_s: float, policy: Policy) -> None:
    """Before the deadline it tries on, also when Retry-After lies behind it, unless it was missing five times."""
    decision = decide(retry, tries, remaining_s, policy, highest)
    missed = retry.pace is RetryPace.MISSING and tries.missing + 1 >= MISSING_TRIES
    assert isinstance(decision, GiveUp) == missed


@given(st.lists(retries, min_size=1), st.floats(0.001, 1e5), policies, seeds)
def test_one_attempt_after_the_deadline_at_most(
    replies: list[Retry], remaining_s: float, policy: Policy, seed: int
) -> None:
    """However often a Retry-After lies beyond the deadline, there is one attempt after it, and that is the last."""
    dice = random.Random(seed)
    late = 0
    for retry in replies:
        decision = decide(retry, Tries(), remaining_s, policy, dice.uniform)
        late += remaining_s < 0
        if not isinstance(decision, Again):
            assert isinstance(decision, GiveUp)
            break
        assert decision.delay_s > 0
        remaining_s -= decision.delay_s
    assert late <= 1


def test_a_retry_after_beyond_the_deadline_gives_one_last_attempt() -> None:
    """It comes at that time, whatever the pause would be, and then the deadline decides."""
    told = Retry("x", retry_after_s=3600)
    assert decide(told, Tries(), 10.0, POLICY, lowest) == Again(3600, "x")
    assert decide(told, Tries(), 10.0, POLICY, highest) == Again(3601, "x")
    assert decide(told, Tries(failures=99), 10.0, Policy(5, 9000), highest) == Again(3601, "x")
    assert decide(told, Tries(), -3591.0, POLICY, highest) == GiveUp(Reason.DEADLINE_EXCEEDED, "x")
    missing = Retry("x", RetryPace.MISSING, 3600)
    assert decide(missing, Tries(), 10.0, POLICY, lowest) == Again(3600, "x", missing=True)
    assert decide(missing, Tries(), -3591.0, POLICY, lowest) == GiveUp(Reason.NOT_FOUND, "x")


@given(policies, st.booleans())
def test_ranges_grow(policy: Policy, slow: bool) -> None:
    """With each failure the longest pause grows until it is the cap; the shortest stays; slow is never sooner."""
    longest = [backoff_s(failures, policy, highest, slow=slow) for failures in range(80)]
    assert all(former <= latter for former, latter in pairwise(longest))
    assert longest[-1] == policy.cap_s
    shortest = {backoff_s(failures, policy, lowest, slow=slow) for failures in range(80)}
    assert len(shortest) == 1
    assert policy.base_s <= shortest.pop() <= longest[0]
    assert longest[0] >= backoff_s(0, policy, highest)


def test_retry_after_is_spread() -> None:
    """Groups told the same Retry-After do not all come back in the same instant."""
    dice = random.Random(1)
    delays = {decide(Retry("x", retry_after_s=1000), Tries(), DAY_S, POLICY, dice.uniform) for _ in range(20)}
    assert len(delays) == 20


def test_the_last_attempt_falls_on_the_deadline() -> None:
    """A pause that would end after the deadline ends on it."""
    assert decide(Retry("x"), Tries(), 3.0, POLICY, highest) == Again(3.0, "x")
    assert decide(Retry("x", retry_after_s=2.5), Tries(), 3.0, POLICY, highest) == Again(3.0, "x")
