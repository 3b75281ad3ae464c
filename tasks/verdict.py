"""Judges what a reply means for one closure. docs/api.md has the same table, row by row.

Pure: a reply comes in, a verdict goes out. What to do about a verdict is decided in `tasks.retry`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.api.reply import NoReply, Reply
from tasks.closure import Outcome, Reason


class RetryPace(StrEnum):
    """How soon another attempt makes sense."""

    NORMAL = "normal"
    SLOW = "slow"  # something about the group must change first, which people do
    MISSING = "missing"  # the API knows no such group; it may still be processed, so try a few times


@dataclass(frozen=True, slots=True)
class Closed:
    """The API has said that the group is closed. `outcome`: by this call, or before it."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The reply alone does not tell whether the group is closed, so its state must be asked for.

    `conflict`: whether the API refused the call, rather than answering in an unusable way.
    """

    cause: str
    conflict: bool


@dataclass(frozen=True, slots=True)
class NotLocked:
    """The group is open. It must be locked before it can be closed."""

    cause: str


@dataclass(frozen=True, slots=True)
class Locked:
    """The group is locked, so it can be closed now."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again later.

    `pace`: how soon. `retry_after_s`: the least time to wait (s), as the API asked. `at_deadline`: the reason with
    which the closure fails if this is still so at its deadline.
    """

    cause: str
    pace: RetryPace = RetryPace.NORMAL
    retry_after_s: float = 0.0
    at_deadline: Reason = Reason.DEADLINE_EXCEEDED


@dataclass(frozen=True, slots=True)
class Refused:
    """The API refused, and trying again would not help. The closure fails with `reason`."""

    reason: Reason
    cause: str


@dataclass(frozen=True, slots=True)
class Halt:
    """The API refuses the key (401). That is not about this group, so no worker with this key may call."""

    cause: str


# The states of a group (API page, "get shipment group"). UNSAID: the reply names the group and no state.
OPEN, LOCKED, CLOSED, UNSAID = "open", "locked", "closed", ""

Verdict = Closed | Ambiguous | NotLocked | Locked | Retry | Refused | Halt


def group_state(reply: Reply | NoReply, reference: str) -> str | None:
    """Return the state in which a reply shows this group, in small letters, or UNSAID ("") if it shows none.

    None means that the reply is not about this group. It is only if it is a 200 that names exactly this reference and
    has no error code: a gateway may answer every call with 200 and a body of its own. This is the one place that judges
    it.
    """
    if isinstance(reply, NoReply) or reply.status != 200 or reply.body is None:
        return None
    if reply.body.reference != reference or reply.body.code:
        return None
    return (reply.body.state or UNSAID).lower()


def judge_close(reply: Reply | NoReply, reference: str) -> Verdict:
    """Return what the reply to a close call means.

    A 200 counts as closed only when its body names the group and does not show it in another state. 304 means "already
    closed" (API page). 409 mostly means "not locked yet", so it never counts as success.
    """
    if isinstance(reply, Reply):
        if group_state(reply, reference) in (CLOSED, UNSAID):
            return Closed(Outcome.CLOSED)
        if reply.status == 304:
            return Closed(Outcome.ALREADY_CLOSED)
        if reply.status < 400:
            return Ambiguous(f"unusable {reply}", conflict=False)
    return _judge_error(reply)


def judge_state(reply: Reply | NoReply, asked: Ambiguous, reference: str) -> Verdict:
    """Return what the reply to a state call means. `asked`: the ambiguous verdict that led to the question."""
    if isinstance(reply, NoReply) or reply.status != 200:
        return _settled(_judge_error(reply), asked)
    state = group_state(reply, reference)
    if state is None:
        return Retry(f"{asked.cause}; unusable state reply")
    if state == CLOSED:
        return Closed(Outcome.ALREADY_CLOSED if asked.conflict else Outcome.CLOSED)
    cause = f"{asked.cause}; group is {state or 'in no state'}"
    if state not in (OPEN, LOCKED):
        return Retry(cause, RetryPace.SLOW, at_deadline=Reason.UNEXPECTED_REPLY)
    if not asked.conflict:
        return Retry(cause)
    return NotLocked(cause) if state == OPEN else Retry(cause, RetryPace.SLOW, at_deadline=Reason.NOT_CLOSABLE)


def judge_lock(reply: Reply | NoReply, reference: str) -> Verdict:
    """Return what the reply to a lock call means.

    A 200 that names the group, and a 304, mean that it is locked. The documents contradict each other about 409, so the
    state is asked for.
    """
    if isinstance(reply, Reply):
        if reply.status == 304 or group_state(reply, reference) in (LOCKED, UNSAID):
            return Locked()
        if reply.status < 400:
            return Ambiguous(f"unusable lock reply {reply}", conflict=True)
    return _judge_error(reply)


def judge_locked_state(reply: Reply | NoReply, asked: Ambiguous, reference: str) -> Verdict:
    """Return what the group's state means after an ambiguous reply to a lock call (`asked`)."""
    verdict = judge_state(reply, asked, reference)
    if isinstance(verdict, Retry) and verdict.at_deadline is Reason.NOT_CLOSABLE:
        return Locked()
    return still_not_locked(verdict)


def still_not_locked(verdict: Verdict) -> Verdict:
    """Turn NotLocked after a successful lock into a slow retry: somebody unlocks the group, so people need time."""
    if isinstance(verdict, NotLocked):
        return Retry(verdict.cause, RetryPace.SLOW, at_deadline=Reason.NOT_LOCKED)
    return verdict


def _judge_error(reply: Reply | NoReply) -> Verdict:
    """Return what an error means. These rows of the table are the same for close, lock and state."""
    cause = str(reply)
    if isinstance(reply, NoReply):
        return Retry(cause)
    wait_s = reply.retry_after_s or 0.0
    match reply.status:
        case 401:
            return Halt(cause)
        case 403:
            return Refused(Reason.FORBIDDEN, cause)
        case 404:
            return Retry(cause, RetryPace.NORMAL if _processing(reply) else RetryPace.MISSING, wait_s)
        case 410:
            return Refused(Reason.GONE, cause)
        case 400 if _malformed(reply):
            return Refused(Reason.INVALID_REQUEST, cause)
        case 429 if reply.code != "conflict":
            return Retry(cause, retry_after_s=wait_s)
        case status if 400 <= status < 500 and status != 408:
            return Ambiguous(cause, conflict=True)
        case _:
            return Retry(cause, retry_after_s=wait_s)


def _settled(verdict: Verdict, asked: Ambiguous) -> Verdict:
    """Turn an ambiguous reply to a state call into a retry: the state is asked for once in one attempt."""
    if isinstance(verdict, Ambiguous):
        return Retry(f"{asked.cause}; state: {verdict.cause}")
    if isinstance(verdict, Retry):
        return Retry(f"{asked.cause}; state: {verdict.cause}", verdict.pace, verdict.retry_after_s)
    return verdict


def _processing(reply: Reply) -> bool:
    """Return whether a 404 says that the group "is still being processed" (API page, errors), so it will exist."""
    return any("processing" in code for code in reply.child_codes)


def _malformed(reply: Reply) -> bool:
    """Return whether a 400 is about the reference's format or about a header.

    Then it concerns the request itself, and no state of the group would change it.
    """
    if "invalid_reference_format" in reply.child_codes:
        return True
    details = reply.body.details if reply.body else []
    words = " ".join(f"{detail.property} {detail.code}" for detail in details).lower()
    return "header" in words or "x-api-" in words or "api_version" in words
