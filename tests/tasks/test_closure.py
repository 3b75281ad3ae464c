"""Closures: records read, attempts packed, the promise of JSON, the diagram of states."""

from __future__ import annotations

import json
import re

import pytest

from tasks import closure as module
from tasks.closure import OPEN_STATES, TRANSITIONS, Outcome, Reason, State
from tasks.history import Attempt, iso
from tasks.ledger.codec import pack_attempt, read_closure, unpack_attempt

# The promise in the design, in its order; what is added to it may stand anywhere.
PROMISED = ["reference", "state", "outcome", "reason", "attempts", "source", "event_id", "received_at",
            "next_attempt_at", "closed_at", "last_status", "last_code", "correlation_id"]  # fmt: skip
ATTEMPT = Attempt(1_000, "host:1", "requeue", 503, "busy", "c-1", 12, "retry", "retry in 5.0 s", "HTTP 503", 7)


def record(**more: object) -> str:
    """A record of the ledger."""
    return json.dumps({"s": "queued", "e": "wms", "i": "e1", "a": 1_000, "d": 2_000} | more)


def test_attempt_round_trip() -> None:
    """An attempt is the same after packing and unpacking, full or empty."""
    assert unpack_attempt(pack_attempt(ATTEMPT)) == ATTEMPT
    assert unpack_attempt(pack_attempt(Attempt(1, "w"))) == Attempt(1, "w")


@pytest.mark.parametrize("nasty", ["a|b", "a\nb", "a\x1b[31mb", "a\u2028b", "a\u202eb", "a\ud800b", "a\x00b"])
def test_attempt_with_nasty_text(nasty: str) -> None:
    """Separators, line breaks, terminal codes and half characters become blanks wherever they stand."""
    packed = pack_attempt(Attempt(1, nasty, nasty, 200, nasty, nasty, 1, nasty, nasty, nasty))
    attempt = unpack_attempt(packed)
    clean = re.sub(r"[^\[\w]", " ", nasty.replace("\ud800", " "))
    texts = (attempt.worker, attempt.trigger, attempt.code, attempt.correlation_id, attempt.verdict, attempt.detail)
    assert texts == (clean,) * 6
    assert packed.isprintable()


def test_attempt_detail_is_cut() -> None:
    """A detail of any length keeps the history small."""
    assert unpack_attempt(pack_attempt(Attempt(1, "w", detail="x" * 1000))).detail == "x" * 160


def test_attempt_as_json() -> None:
    """An attempt names what a person asks for; what is unknown is null, an own trigger is `automatic`."""
    assert ATTEMPT.as_json() == {
        "dispatched_at": "1970-01-01T00:00:00.993Z", "at": "1970-01-01T00:00:01.000Z", "worker": "host:1",
        "trigger": "requeue", "status": 503, "code": "busy",
        "correlation_id": "c-1", "duration_ms": 12, "verdict": "retry", "decision": "retry in 5.0 s",
        "detail": "HTTP 503",
    }  # fmt: skip
    empty = Attempt(1_000, "w").as_json()
    assert (empty["trigger"], empty["status"], empty["detail"]) == ("automatic", None, None)
    assert empty["dispatched_at"] is None


def test_queued_closure() -> None:
    """A new closure has no outcome, no attempts and no next attempt: it is due as soon as there is room."""
    closure = read_closure("sg_1", record(), 1_500.0, None, State.QUEUED)
    shown = {name: value for name, value in closure.as_json().items() if name in PROMISED}
    assert list(shown) == PROMISED
    assert shown == dict.fromkeys(PROMISED) | {
        "reference": "sg_1", "state": "queued", "attempts": 0, "source": "wms", "event_id": "e1",
        "received_at": "1970-01-01T00:00:01.000Z",
    }  # fmt: skip
    assert (closure.last_attempt, closure.entered_ms) == (None, 1_500)


def test_waiting_closure() -> None:
    """One that waits for its time shows when it will be attempted."""
    closure = read_closure("sg_1", record(), 1_500.0, 31_500.0, State.QUEUED)
    assert closure.as_json()["next_attempt_at"] == "1970-01-01T00:00:31.500Z"


def test_retrying_closure() -> None:
    """A retry shows when, and its last attempt's reply; the newest attempt is the last."""
    lines = [pack_attempt(Attempt(500, "w", status=500)), pack_attempt(ATTEMPT)]
    raw = record(s="retrying", n=2, h=lines, u="c", t="t", p="tp").encode()
    closure = read_closure("sg_1", raw, 1, 9_000, State.RETRYING)
    shown = closure.as_json()
    assert (shown["next_attempt_at"], shown["attempts"]) == ("1970-01-01T00:00:09.000Z", 2)
    assert (shown["last_status"], shown["last_code"], shown["correlation_id"]) == (503, "busy", "c-1")
    assert (closure.custom_reference, closure.event_time, closure.traceparent) == ("c", "t", "tp")
    assert closure.history[-1] == ATTEMPT


@pytest.mark.parametrize(
    ("fields", "outcome", "reason"),
    [
        ({"s": "closed", "o": "already_closed"}, Outcome.ALREADY_CLOSED, None),
        ({"s": "failed", "r": "gone"}, None, Reason.GONE),
        ({"s": "discarded", "r": "gone"}, None, Reason.GONE),
    ],
)
def test_ended_closures(fields: dict[str, object], outcome: Outcome | None, reason: Reason | None) -> None:
    """Only what is closed has an outcome and a time of closing, only what failed has a reason."""
    closure = read_closure("sg_1", record(**fields), 7_000, None, State.CLOSED)
    assert (closure.outcome, closure.reason) == (outcome, reason)
    assert closure.as_json()["closed_at"] == ("1970-01-01T00:00:07.000Z" if outcome else None)


def test_iso() -> None:
    """Times are ISO 8601 in UTC, to the millisecond."""
    assert iso(1_763_826_034_007) == "2025-11-22T15:40:34.007Z"


def test_transitions_are_the_diagram() -> None:
    """The table holds the diagram's arrows, the claim of a due retry, recalls, holds, and that closed is a fact."""
    arrows = {
        ("queued", "closing"), ("closing", "closed"), ("closing", "failed"), ("closing", "retrying"),
        ("closing", "queued"), ("retrying", "queued"), ("failed", "queued"), ("failed", "discarded"),
    }  # fmt: skip
    words = set(re.findall(r"[a-z]+", module.__doc__ or ""))
    assert words >= {state.value for state in State}
    due_retry = {("retrying", "closing")}
    facts = {(state.value, "closed") for state in State if state is not State.CLOSED}
    verified = {("closed", "failed")} if "verify" in words else set()
    table = {(old.value, new.value) for old, follow in TRANSITIONS.items() for new in follow}
    held = {(state, "held") for state in ("queued", "retrying", "failed", "closing")}
    released = {("held", "queued"), ("held", "failed")}
    recalled = {("queued", "failed"), ("discarded", "failed")}
    assert table == arrows | due_retry | facts | verified | held | released | recalled
    assert set(TRANSITIONS) == set(State)


def test_open_and_final_states() -> None:
    """What is open can go on, what is discarded can be recalled or turn out closed, nothing that ended is open."""
    assert {State.QUEUED, State.CLOSING, State.RETRYING} == OPEN_STATES
    assert all(TRANSITIONS[state] for state in OPEN_STATES)
    assert TRANSITIONS[State.DISCARDED] == {State.CLOSED, State.FAILED}
