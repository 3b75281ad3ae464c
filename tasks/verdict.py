"""What a reply means for a closure. Pure: a reply in, a verdict out; the table is the API's, see docs/api.md."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from tasks.api.reply import NoReply, Reply
from tasks.closure import Outcome, Reason


class RetryPace(StrEnum):
    """How soon another attempt makes sense."""

    NORMAL = "normal"
    SLOW = "slow"  # the group itself stands in the way: give people time
    MISSING = "missing"  # it may still be processing: a few tries, then it is not found


@dataclass(frozen=True, slots=True)
class Closed:
    """The group is closed, and we know it."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Ambiguous:
    """The reply alone does not tell: ask for the group's state. `conflict`: the API refused to close it."""

    cause: str
    conflict: bool


@dataclass(frozen=True, slots=True)
class NotLocked:
    """The group is open; it must be locked before it can be closed."""

    cause: str


@dataclass(frozen=True, slots=True)
class Locked:
    """The group is locked: it can be closed now."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again later, not before `retry_after_s`; at the deadline it fails with `at_deadline`."""

    cause: str
    pace: RetryPace = RetryPace.NORMAL
    retry_after_s: float = 0.0
    at_deadline: Reason = Reason.DEADLINE_EXCEEDED


@dataclass(frozen=True, slots=True)
class Refused:
    """Trying again would not help."""

    reason: Reason
    cause: str


@dataclass(frozen=True, slots=True)
class Halt:
    """The API refuses the key, not this group: no worker that has it may call."""

    cause: str


# The states of a group (API page, get shipment group), and what `group_state` gives for a reply that names none.
OPEN, LOCKED, CLOSED, UNSAID = "open", "locked", "closed", ""

Verdict = Closed | Ambiguous | NotLocked | Locked | Retry | Refused | Halt


def group_state(reply: Reply | NoReply, reference: str) -> str | None:
    """The state in which a reply shows this group, in small letters; `UNSAID`: none. None: it is not about this group.

    Only a 200 that names exactly this group is about it, and only if it has no error code: a gateway may answer
    every call with 200 and a body of its own. This is the one place that says what such a reply means.
    """
    if isinstance(reply, NoReply) or reply.status != 200 or reply.body is None:
        return None
    if reply.body.reference != reference or reply.body.code:
        return None
    return (reply.body.state or UNSAID).lower()


def judge_close(reply: Reply | NoReply, reference: str) -> Verdict:
    """What the reply to a close call means.

    A 200 counts only when its body names the group, and does not say that it is not closed. 304 is "already closed"
    (API reference). 409 is mostly "not locked yet", never taken for success.
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
    """What the group's state means after an ambiguous reply (`asked`)."""
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
    """What the reply to a lock call means.

    A 200 that names the group and a 304 are locked; the documents disagree about 409.
    """
    if isinstance(reply, Reply):
        if reply.status == 304 or group_state(reply, reference) in (LOCKED, UNSAID):
            return Locked()
        if reply.status < 400:
            return Ambiguous(f"unusable lock reply {reply}", conflict=True)
    return _judge_error(reply)


def judge_locked_state(reply: Reply | NoReply, asked: Ambiguous, reference: str) -> Verdict:
    """What the group's state means after an ambiguous reply to a lock call."""
    verdict = judge_state(reply, asked, reference)
    if isinstance(verdict, Retry) and verdict.at_deadline is Reason.NOT_CLOSABLE:
        return Locked()
    return still_not_locked(verdict)


def still_not_locked(verdict: Verdict) -> Verdict:
    """A group that is open although we locked it: somebody unlocks it, so give people time."""
    if isinstance(verdict, NotLocked):
        return Retry(verdict.cause, RetryPace.SLOW, at_deadline=Reason.NOT_LOCKED)
    return verdict


def _judge_error(reply: Reply | NoReply) -> Verdict:
    """The rows that mean the same for every call."""
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
    """The state call did not tell either: never ask twice in one attempt."""
    if isinstance(verdict, Ambiguous):
        return Retry(f"{asked.cause}; state: {verdict.cause}")
    if isinstance(verdict, Retry):
        return Retry(f"{asked.cause}; state: {verdict.cause}", verdict.pace, verdict.retry_after_s)
    return verdict


def _processing(reply: Reply) -> bool:
    """A 404 because the group "is still being processed" (API page, errors): it will come."""
    return any("processing" in code for code in reply.child_codes)


def _malformed(reply: Reply) -> bool:
    """A 400 about the reference's format or about the headers concerns the request, not the group's state."""
    if "invalid_reference_format" in reply.child_codes:
        return True
    details = reply.body.details if reply.body else []
    words = " ".join(f"{detail.property} {detail.code}" for detail in details).lower()
    return "header" in words or "x-api-" in words or "api_version" in words
