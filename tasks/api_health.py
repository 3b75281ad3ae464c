"""Judges what a reply says about the API as a whole.

The gate is shut and opened by this judgement, while `tasks.verdict` judges the same reply for one group. Pure: nothing
here waits, calls or writes.
"""

from __future__ import annotations

from enum import StrEnum

from tasks.api.reply import Failure, NoReply, Reply


class ApiHealth(StrEnum):
    """What one reply says about the API itself.

    GOOD: it works. BAD: it is overloaded, broken or cannot be reached. UNAUTHORISED: it refuses the key (401).
    FORBIDDEN: it refuses this call (403), which is about the key when it happens for many groups. UNKNOWN: the reply
    tells nothing.
    """

    GOOD = "good"
    BAD = "bad"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"


def health(reply: Reply | NoReply) -> ApiHealth:
    """Return what a reply says about the API.

    An error that concerns one group only is GOOD, because the API has answered. A time-out, a cut connection, a 5xx, a
    408 and a 429 are BAD; but a 429 with the code `conflict` is about one group. A failure of this process or its
    machine is UNKNOWN. So is a success that names no group, and any reply without a readable body, because a gateway
    may have sent it. A 304 needs no body.
    """
    if isinstance(reply, NoReply):
        return ApiHealth.UNKNOWN if reply.failure is Failure.OWN else ApiHealth.BAD
    if reply.status >= 500 or reply.status == 408 or (reply.status == 429 and reply.code != "conflict"):
        return ApiHealth.BAD
    if reply.status == 401:
        return ApiHealth.UNAUTHORISED
    if reply.status == 403:
        return ApiHealth.FORBIDDEN
    usable = reply.body is not None and (reply.status >= 400 or reply.body.reference is not None)
    return ApiHealth.GOOD if usable or reply.status == 304 else ApiHealth.UNKNOWN


def throttle_s(reply: Reply | NoReply) -> float:
    """Return for how many seconds the whole fleet must make no call; 0: it need not wait.

    It is the `Retry-After` of a 429 or 503, whatever the body is, and also where the body never came. A 429 with the
    code `conflict` is about one group, so it holds nobody else back.
    """
    if reply.status not in (429, 503) or (isinstance(reply, Reply) and reply.code == "conflict"):
        return 0.0
    return reply.retry_after_s or 0.0
