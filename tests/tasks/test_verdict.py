"""Verdicts: every row of the API's table, and that nothing else is ever taken for closed."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.api.reply import Body, Failure, NoReply, Reply
from tasks.api_health import ApiHealth, health, throttle_s
from tasks.closure import Outcome, Reason
from tasks.verdict import (
    Ambiguous,
    Closed,
    Halt,
    Locked,
    NotLocked,
    Refused,
    Retry,
    RetryPace,
    Verdict,
    judge_close,
    judge_lock,
    judge_locked_state,
    judge_state,
    still_not_locked,
)

REF = "sg_1"
CONFLICT, UNUSABLE = Ambiguous("HTTP 409", conflict=True), Ambiguous("unusable HTTP 200", conflict=False)


def error(code: str | None = None, *children: str, **properties: str) -> Body:
    """An error body with child codes, or with `property=code` details."""
    details = [{"code": child} for child in children]
    details += [{"property": name, "code": text} for name, text in properties.items()]
    return Body.model_validate({"code": code, "details": details})


def saying(**fields: str) -> Reply:
    """A 200 with these fields."""
    return Reply(200, Body.model_validate(fields))


def state(text: str | None, reference: str | None = REF) -> Reply:
    """A reply to the question for a group's state."""
    return Reply(200, Body(reference=reference, state=text))


CLOSE = [
    (Reply(200, Body(reference=REF)), Closed(Outcome.CLOSED)),
    (Reply(304), Closed(Outcome.ALREADY_CLOSED)),
    (Reply(200), Ambiguous("unusable HTTP 200", conflict=False)),
    (Reply(200, Body()), Ambiguous("unusable HTTP 200", conflict=False)),
    *(
        (Reply(200, Body(reference=other)), Ambiguous("unusable HTTP 200", conflict=False))
        for other in ("sg_2", "SG_1", " sg_1", "sg_1 ", "sg_11", "sg_\uff11")
    ),
    (saying(state="CLOSED"), Ambiguous("unusable HTTP 200", conflict=False)),
    (state("closed"), Closed(Outcome.CLOSED)),
    (state("Closed"), Closed(Outcome.CLOSED)),
    (state("open"), Ambiguous("unusable HTTP 200", conflict=False)),
    (state("locked"), Ambiguous("unusable HTTP 200", conflict=False)),
    (state("archived"), Ambiguous("unusable HTTP 200", conflict=False)),
    (saying(reference=REF, code="conflict"), Ambiguous("unusable HTTP 200 conflict", conflict=False)),
    (Reply(202, Body(reference=REF)), Ambiguous("unusable HTTP 202", conflict=False)),
    (Reply(204), Ambiguous("unusable HTTP 204", conflict=False)),
    (Reply(302), Ambiguous("unusable HTTP 302", conflict=False)),
    (Reply(400, error("validation_error", "invalid_reference_format")), Refused(Reason.INVALID_REQUEST, "HTTP 400")),
    (Reply(400, error(None, **{"x-api-version": "required"})), Refused(Reason.INVALID_REQUEST, "HTTP 400")),
    (Reply(400, error(None, "missing_header")), Refused(Reason.INVALID_REQUEST, "HTTP 400")),
    (Reply(400, error("validation_error", "invalid_state_for_operation")), Ambiguous("HTTP 400", conflict=True)),
    (Reply(400), Ambiguous("HTTP 400", conflict=True)),
    (Reply(401, error("unauthorised")), Halt("HTTP 401")),
    (Reply(401), Halt("HTTP 401")),
    (Reply(403), Refused(Reason.FORBIDDEN, "HTTP 403")),
    (Reply(404, error("not_found")), Retry("HTTP 404", RetryPace.MISSING)),
    (Reply(404, retry_after_s=9), Retry("HTTP 404", RetryPace.MISSING, 9)),
    (Reply(404, error("not_found", "shipment_group_processing")), Retry("HTTP 404")),
    (Reply(408), Retry("HTTP 408")),
    (Reply(409), Ambiguous("HTTP 409", conflict=True)),
    (Reply(410, error("gone")), Refused(Reason.GONE, "HTTP 410")),
    (Reply(418), Ambiguous("HTTP 418", conflict=True)),
    (Reply(429, error("conflict")), Ambiguous("HTTP 429 conflict", conflict=True)),
    (Reply(429, error("other"), 30), Retry("HTTP 429", retry_after_s=30)),
    (Reply(429, retry_after_s=30), Retry("HTTP 429", retry_after_s=30)),
    (Reply(500), Retry("HTTP 500")),
    (Reply(503, retry_after_s=60), Retry("HTTP 503", retry_after_s=60)),
    *((NoReply(failure, "why"), Retry(failure.value)) for failure in Failure),
]
STATE = [
    (state("closed"), CONFLICT, Closed(Outcome.ALREADY_CLOSED)),
    (state("CLOSED"), CONFLICT, Closed(Outcome.ALREADY_CLOSED)),
    (state("closed"), UNUSABLE, Closed(Outcome.CLOSED)),
    (state("open"), CONFLICT, NotLocked("HTTP 409; group is open")),
    (state("open"), UNUSABLE, Retry("unusable HTTP 200; group is open")),
    (state("locked"), CONFLICT, Retry("group is locked", RetryPace.SLOW, at_deadline=Reason.NOT_CLOSABLE)),
    (state("locked"), UNUSABLE, Retry("group is locked")),
    (state("frozen"), CONFLICT, Retry("group is frozen", RetryPace.SLOW, at_deadline=Reason.UNEXPECTED_REPLY)),
    (state(None), CONFLICT, Retry("in no state", RetryPace.SLOW, at_deadline=Reason.UNEXPECTED_REPLY)),
    *(
        (state("closed", other), asked, Retry("unusable state reply"))
        for other in (None, "sg_2", "SG_1", " sg_1", "sg_1 ", "sg_11")
        for asked in (CONFLICT, UNUSABLE)
    ),
    (saying(reference=REF, state="closed", code="circuit_open"), CONFLICT, Retry("unusable state reply")),
    (Reply(203, state("closed").body), CONFLICT, Retry("state: HTTP 203")),
    (Reply(503, state("closed").body), CONFLICT, Retry("state: HTTP 503")),
    (Reply(200), CONFLICT, Retry("unusable state reply")),
    (Reply(304), CONFLICT, Retry("state: HTTP 304")),
    (Reply(302), CONFLICT, Retry("state: HTTP 302")),
    (Reply(409), CONFLICT, Retry("state: HTTP 409")),
    (Reply(401), CONFLICT, Halt("HTTP 401")),
    (Reply(403), CONFLICT, Refused(Reason.FORBIDDEN, "HTTP 403")),
    (Reply(404), CONFLICT, Retry("state: HTTP 404", RetryPace.MISSING)),
    (Reply(410), CONFLICT, Refused(Reason.GONE, "HTTP 410")),
    (Reply(503, retry_after_s=60), CONFLICT, Retry("state: HTTP 503", retry_after_s=60)),
    (NoReply(Failure.TIMEOUT), CONFLICT, Retry("state: timeout")),
]
LOCK = [
    (saying(reference=REF), Locked()),
    (state("locked"), Locked()),
    (Reply(304), Locked()),
    (Reply(200), Ambiguous("unusable lock reply HTTP 200", conflict=True)),
    (saying(state="locked"), Ambiguous("unusable lock reply HTTP 200", conflict=True)),
    (state("locked", "sg_2"), Ambiguous("unusable lock reply HTTP 200", conflict=True)),
    (state("open"), Ambiguous("unusable lock reply HTTP 200", conflict=True)),
    (state("closed"), Ambiguous("unusable lock reply HTTP 200", conflict=True)),
    (saying(reference=REF, code="conflict"), Ambiguous("unusable lock reply HTTP 200 conflict", conflict=True)),
    (Reply(202), Ambiguous("unusable lock reply HTTP 202", conflict=True)),
    (Reply(409), Ambiguous("HTTP 409", conflict=True)),
    (Reply(400), Ambiguous("HTTP 400", conflict=True)),
    (Reply(403), Refused(Reason.FORBIDDEN, "HTTP 403")),
    (Reply(401), Halt("HTTP 401")),
    (Reply(404), Retry("HTTP 404", RetryPace.MISSING)),
    (Reply(429, retry_after_s=5), Retry("HTTP 429", retry_after_s=5)),
    (NoReply(Failure.CUT), Retry("connection_cut")),
    (NoReply(Failure.OWN), Retry("own_fault")),
]
LOCKED_STATE = [
    (state("locked"), Locked()),
    (state("closed"), Closed(Outcome.ALREADY_CLOSED)),
    (state("locked", None), Retry("unusable state reply")),
    (state("closed", None), Retry("unusable state reply")),
    (state("open"), Retry("HTTP 409; group is open", RetryPace.SLOW, at_deadline=Reason.NOT_LOCKED)),
    (state("frozen"), Retry("group is frozen", RetryPace.SLOW, at_deadline=Reason.UNEXPECTED_REPLY)),
    (NoReply(Failure.TIMEOUT), Retry("state: timeout")),
]


def alike(verdict: Verdict, expected: Verdict) -> bool:
    """Equal, up to more words in the cause."""
    if isinstance(expected, Closed | Locked) or isinstance(verdict, Closed | Locked):
        return verdict == expected
    return expected.cause in verdict.cause and replace(verdict, cause=expected.cause) == expected


@pytest.mark.parametrize(("reply", "verdict"), CLOSE)
def test_close(reply: Reply | NoReply, verdict: Verdict) -> None:
    """Each documented reply to a close call, and what else HTTP can say."""
    assert alike(judge_close(reply, REF), verdict)


@pytest.mark.parametrize(("reply", "asked", "verdict"), STATE)
def test_state(reply: Reply | NoReply, asked: Ambiguous, verdict: Verdict) -> None:
    """Each reply to the question for the state; an unusable 200 that did close counts as closed by us."""
    assert alike(judge_state(reply, asked, REF), verdict)


@pytest.mark.parametrize(("reply", "verdict"), LOCK)
def test_lock(reply: Reply | NoReply, verdict: Verdict) -> None:
    """Each reply to a lock call; 409 is "locked already" in one document and a refusal in another: ask."""
    assert alike(judge_lock(reply, REF), verdict)


@pytest.mark.parametrize(("reply", "verdict"), LOCKED_STATE)
def test_locked_state(reply: Reply | NoReply, verdict: Verdict) -> None:
    """After a doubtful lock the state tells; a group that stays open waits for people."""
    assert alike(judge_locked_state(reply, CONFLICT, REF), verdict)


def test_still_not_locked() -> None:
    """A group that is open after our lock is tried slowly until the deadline, then it is `not_locked`."""
    verdict = still_not_locked(NotLocked("x"))
    assert verdict == Retry("x", RetryPace.SLOW, at_deadline=Reason.NOT_LOCKED)
    assert still_not_locked(Locked()) == Locked()


BODIES = [None, Body(), Body(reference=REF), Body(reference="sg_2"), Body(state="closed"), state("closed").body,
          state("open").body, error("conflict"), error("validation_error", "invalid_reference_format"),
          error("not_found", "processing"), error(None, **{"x-api-key": "missing"})]  # fmt: skip
REPLIES: list[Reply | NoReply] = [
    *(Reply(status, body) for status, body in itertools.product(range(100, 600), BODIES)),
    *(NoReply(failure) for failure in Failure),
]


def test_total() -> None:
    """Every status with every kind of body has a verdict, a health and a hold; no error escapes."""
    kinds = get_args(Verdict)
    for reply in REPLIES:
        for verdict in (
            judge_close(reply, REF), judge_lock(reply, REF), judge_state(reply, CONFLICT, REF),
            judge_state(reply, UNUSABLE, REF), judge_locked_state(reply, CONFLICT, REF),
        ):  # fmt: skip
            assert isinstance(verdict, kinds)
        assert isinstance(health(reply), ApiHealth)
        assert throttle_s(reply) == 0.0


def test_one_question_is_enough() -> None:
    """A state never leads to another question for the state."""
    for reply, asked in itertools.product(REPLIES, (CONFLICT, UNUSABLE)):
        assert not isinstance(judge_state(reply, asked, REF), Ambiguous | Locked)
        assert not isinstance(judge_locked_state(reply, asked, REF), Ambiguous | NotLocked)


texts = st.none() | st.sampled_from([REF, "sg_2", "closed", "open", "locked", "conflict"]) | st.text(max_size=5)
details = st.lists(st.fixed_dictionaries({"property": texts, "code": texts}), max_size=3)
bodies = st.none() | st.fixed_dictionaries(
    {"reference": texts, "state": texts, "code": texts, "correlation_id": texts, "details": details}
).map(Body.model_validate)
replies = st.builds(Reply, status=st.integers(100, 599), body=bodies, retry_after_s=st.none() | st.floats(0, 1e6))


@given(replies)
def test_closed_only_when_known(reply: Reply) -> None:
    """A close counts only with a 200 that names the group or a 304; a state only when it is `closed`, of this group."""
    named = reply.status == 200 and reply.body is not None and reply.body.reference == REF and not reply.body.code
    said = (reply.body.state or "").lower() if reply.body is not None else ""
    closed = named and said in ("closed", "")
    assert isinstance(judge_close(reply, REF), Closed) == (closed or reply.status == 304)
    assert isinstance(judge_lock(reply, REF), Locked) == ((named and said in ("locked", "")) or reply.status == 304)
    assert not isinstance(judge_lock(reply, REF), Closed)
    for asked in (CONFLICT, UNUSABLE):
        for judge in (judge_state, judge_locked_state):
            assert isinstance(judge(reply, asked, REF), Closed) == (named and said == "closed")


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (NoReply(Failure.CONNECT), ApiHealth.BAD),
        (NoReply(Failure.OWN), ApiHealth.UNKNOWN),
        (Reply(500), ApiHealth.BAD),
        (Reply(599), ApiHealth.BAD),
        (Reply(408), ApiHealth.BAD),
        (Reply(429), ApiHealth.BAD),
        (Reply(429, error("conflict")), ApiHealth.GOOD),
        (Reply(401), ApiHealth.UNAUTHORISED),
        (Reply(403), ApiHealth.FORBIDDEN),
        (saying(reference=REF), ApiHealth.GOOD),
        (saying(state="CLOSED"), ApiHealth.UNKNOWN),
        (Reply(200, Body()), ApiHealth.UNKNOWN),
        (Reply(302, Body()), ApiHealth.UNKNOWN),
        (Reply(404, error("not_found")), ApiHealth.GOOD),
        (Reply(304), ApiHealth.GOOD),
        (Reply(200), ApiHealth.UNKNOWN),
        (Reply(302), ApiHealth.UNKNOWN),
    ],
)
def test_health(reply: Reply | NoReply, expected: ApiHealth) -> None:
    """An error about one group is a sign of life; a page of a proxy says nothing."""
    assert health(reply) is expected


@pytest.mark.parametrize(
    ("reply", "hold_s"),
    [
        (Reply(429, retry_after_s=7), 7),
        (Reply(503, retry_after_s=7), 7),
        (Reply(503), 0),
        (Reply(500, retry_after_s=7), 0),
        (Reply(429, error("conflict"), 7), 0),
        (NoReply(Failure.CUT), 0),
        (NoReply(Failure.TIMEOUT, "", 7, 429), 7),
        (NoReply(Failure.TOO_LARGE, "", 7, 503), 7),
        (NoReply(Failure.PROTOCOL, "", 7, 500), 0),
        (NoReply(Failure.CUT, "", None, 429), 0),
    ],
)
def test_throttle(reply: Reply | NoReply, hold_s: float) -> None:
    """Only throttling and maintenance hold the whole fleet back."""
    assert throttle_s(reply) == hold_s
