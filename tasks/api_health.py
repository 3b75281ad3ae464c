"""What a reply means for the API as a whole: the gate goes by it. Pure."""

from __future__ import annotations

from enum import StrEnum

from tasks.api.reply import Failure, NoReply, Reply


class ApiHealth(StrEnum):
    """What a reply tells about the API itself, for the gate."""

    GOOD = "good"
    BAD = "bad"
    UNAUTHORISED = "unauthorised"
    FORBIDDEN = "forbidden"
    UNKNOWN = "unknown"


def health(reply: Reply | NoReply) -> ApiHealth:
    """What a reply says about the API: an error that concerns one group only is a sign of good health.

    A body that is not an error's and names no group may be anybody's: it says nothing.
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
    """How long the whole fleet must hold back, in seconds: the `Retry-After` of a 429 or 503, whatever its body is."""
    if reply.status not in (429, 503) or (isinstance(reply, Reply) and reply.code == "conflict"):
        return 0.0
    return reply.retry_after_s or 0.0
