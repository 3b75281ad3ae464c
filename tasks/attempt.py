"""Makes one attempt for a closure that has been claimed: it calls the API, judges the reply and decides what to do.

A crash in the middle is safe. Nothing is written here, so the lease ends by itself and the group is attempted again; if
the call took effect, the next one finds the group closed (304).
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace

from tasks.api.client import SortedApi
from tasks.api.reply import NoReply, Reply
from tasks.api_health import ApiHealth, health, throttle_s
from tasks.attempted import Attempted, Called, CallName
from tasks.closure import State
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.values import Claim, Settlement
from tasks.retry import (
    DOUBTFUL,
    Again,
    Decision,
    Done,
    GiveBack,
    GiveUp,
    Policy,
    Tries,
    Uniform,
    decide,
    reconsider,
)
from tasks.verdict import (
    Ambiguous,
    Locked,
    NotLocked,
    Retry,
    Verdict,
    judge_close,
    judge_lock,
    judge_locked_state,
    judge_state,
    still_not_locked,
)

_log = logging.getLogger("closer.attempt")
_TOO_LATE_S = 0.05

Call = Callable[[str, float], Awaitable[Reply | NoReply]]


@dataclass(slots=True)
class _Trail:
    """The calls of one attempt, and what is known from them.

    `ends`: when the attempt must be over, on the monotonic clock (s). `close`: the last reply to a close call. `asked`:
    whether the group's state was asked for. `health`: what the last reply says about the API.
    """

    reference: str
    ends: float
    close: Reply | NoReply | None = None
    asked: bool = False
    health: ApiHealth = ApiHealth.UNKNOWN
    calls: list[Called] = field(default_factory=list)

    @property
    def replies(self) -> list[Reply | NoReply]:
        """What came back, in the order of the calls."""
        return [call.reply for call in self.calls]

    @property
    def retry_after_s(self) -> float:
        """The longest Retry-After of the replies (s), 0 when there was none."""
        return max((reply.retry_after_s or 0.0 for reply in self.replies), default=0.0)

    async def ask(self, name: CallName, call: Call) -> Reply | NoReply:
        """Make one call within the time that is left, and keep its reply. Raises _OutOfTime when too little is left."""
        started = time.monotonic()
        left_s = self.ends - started
        if left_s < _TOO_LATE_S:
            raise _OutOfTime
        reply = await call(self.reference, left_s)
        self.calls.append(Called(name, reply, time.monotonic() - started))
        self.health = health(reply)
        return reply


class _OutOfTime(Exception):
    """Less than 50 ms are left. Another call could outlive the lease, and another worker could call meanwhile."""


class Attempter:
    """Makes attempts. It writes nothing: a `Claim` comes in, an `Attempted` goes out, and the caller settles it."""

    def __init__(
        self,
        api: SortedApi,
        policy: Policy,
        *,
        worker: str,
        budget_s: float,
        lock_if_needed: bool = False,
        uniform: Uniform = random.uniform,
    ) -> None:
        """`policy`: the pauses between attempts. `worker`: this worker's name, for the history.

        `budget_s`: how long all calls of one attempt may take together (s); it must be shorter than the lease.
        `lock_if_needed`: lock a group that is open, then close it. `uniform`: draws a number between two, for the
        jitter.
        """
        self._api = api
        self._policy = policy
        self._worker = worker
        self._budget_s = budget_s
        self._lock_if_needed = lock_if_needed
        self._uniform = uniform

    async def attempt(self, claim: Claim) -> Attempted:
        """Try to close the claim's group, with one call or a few, and return what came of it.

        It never raises for what the network, the API or closer itself does wrong: the error is kept with the attempt,
        and the group is tried again. A group is closed only if the API has said so.
        """
        started = time.monotonic()
        trail = _Trail(claim.reference, started + self._budget_s)
        try:
            verdict = await self._verdict(trail, lock=self._lock_if_needed or claim.lock_first)
        except _OutOfTime:
            verdict = Retry("the attempt took as long as its lease allows")
        except Exception as error:
            _log.exception("attempt on %s broke; it will be tried again", claim.reference)
            verdict = Retry(f"closer's own error: {type(error).__name__}: {error}")
        if isinstance(verdict, Retry):  # any of the calls may have been told to wait, also one in a conflict
            verdict = replace(verdict, retry_after_s=max(verdict.retry_after_s, trail.retry_after_s))
        tries = Tries(claim.failures, claim.missing)
        remaining_s = claim.remaining_s - (time.monotonic() - started)
        decision = decide(verdict, tries, remaining_s, self._policy, self._uniform)
        if isinstance(decision, GiveUp) and decision.reason in DOUBTFUL and not trail.asked:
            decision = await self._reconsidered(decision, trail)
        took_s = time.monotonic() - started
        attempt = self._record(claim, trail, verdict, decision, took_s)
        settlement = _settlement(claim, trail, decision, pack_attempt(attempt))
        return Attempted(claim, tuple(trail.calls), verdict, decision, took_s, attempt, settlement)

    async def _verdict(self, trail: _Trail, *, lock: bool) -> Verdict:
        """Close the group. If it is open and may be locked, lock it and close it again, once."""
        verdict = await self._close(trail)
        if isinstance(verdict, NotLocked) and lock:
            verdict = await self._lock(trail)
            if isinstance(verdict, Locked):
                verdict = still_not_locked(await self._close(trail))
        return verdict

    async def _close(self, trail: _Trail) -> Verdict:
        trail.close = await trail.ask(CallName.CLOSE, self._api.close)
        verdict = judge_close(trail.close, trail.reference)
        if isinstance(verdict, Ambiguous):
            verdict = judge_state(await self._state(trail), verdict, trail.reference)
        return verdict

    async def _state(self, trail: _Trail) -> Reply | NoReply:
        trail.asked = True
        return await trail.ask(CallName.STATE, self._api.state)

    async def _lock(self, trail: _Trail) -> Verdict:
        verdict = judge_lock(await trail.ask(CallName.LOCK, self._api.lock), trail.reference)
        if isinstance(verdict, Ambiguous):
            verdict = judge_locked_state(await self._state(trail), verdict, trail.reference)
        return verdict

    async def _reconsidered(self, given_up: GiveUp, trail: _Trail) -> Done | GiveUp:
        """Ask for the group's state before the closure fails: the API may have refused because it is closed.

        Whatever goes wrong with this question, the decision to give up stands.
        """
        refused = trail.health
        try:
            decision = reconsider(given_up, await self._state(trail), trail.reference)
        except _OutOfTime:
            return given_up
        except Exception:
            _log.exception("asking for the state of %s broke; the closure fails without it", trail.reference)
            return given_up
        if isinstance(decision, GiveUp):
            trail.health = refused  # the answer to a question does not undo what the refused close says
        return decision

    def _record(self, claim: Claim, trail: _Trail, verdict: Verdict, decision: Decision, took_s: float) -> Attempt:
        close = trail.close
        correlation = [reply.body.correlation_id for reply in trail.replies if isinstance(reply, Reply) and reply.body]
        return Attempt(
            at_ms=claim.at_ms,
            worker=self._worker,
            trigger=claim.trigger,
            status=close.status if isinstance(close, Reply) else None,
            code=_code(close),
            correlation_id=next((text for text in reversed(correlation) if text), None),
            duration_ms=round(took_s * 1000),
            verdict=type(verdict).__name__.lower(),
            decision=_decided(decision),
            detail=_detail(decision, trail),
            sent_ms=claim.sent_ms,
        )


def _settlement(claim: Claim, trail: _Trail, decision: Decision, packed: str) -> Settlement:
    settlement = Settlement(
        claim.reference,
        claim.lease,
        State.QUEUED,
        packed,
        health=trail.health,
        hold_s=max(map(throttle_s, trail.replies), default=0.0),
        told=trail.retry_after_s > 0,
    )
    match decision:
        case Done(outcome):
            return replace(settlement, to=State.CLOSED, outcome=outcome)
        case Again(delay_s, _, missing):
            return replace(settlement, to=State.RETRYING, delay_s=delay_s, missing=missing)
        case GiveUp(reason, _):
            return replace(settlement, to=State.FAILED, reason=reason)
        case GiveBack():  # pragma: no branch  (mypy knows that there is no other)
            return settlement


def _code(reply: Reply | NoReply | None) -> str | None:
    return reply.code if isinstance(reply, Reply) else reply.failure.value if reply else None


def _decided(decision: Decision) -> str:
    match decision:
        case Done(outcome):
            return outcome.value
        case Again(delay_s):
            return f"retry in {delay_s:.1f} s"
        case GiveUp(reason):
            return f"failed: {reason.value}"
        case GiveBack():  # pragma: no branch  (mypy knows that there is no other)
            return "queued"


def _detail(decision: Decision, trail: _Trail) -> str:
    if isinstance(decision, Done):
        return decision.cause
    failed = [reply.detail for reply in trail.replies if isinstance(reply, NoReply) and reply.detail]
    return "; ".join([decision.cause, *failed[-1:]])
