"""One attempt over real HTTP: which calls follow which replies, and what is settled."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from tasks.api.client import SortedApi
from tasks.api.retry_after import MAX_RETRY_AFTER_S
from tasks.api_health import ApiHealth
from tasks.attempt import Attempter
from tasks.closure import Outcome, Reason, State
from tasks.history import Attempt
from tasks.ledger.codec import settlement_argument, unpack_attempt
from tasks.ledger.values import Claim, Settlement
from tasks.retry import Policy
from tests.tasks.standin import CLOSED, REF, Answer, StandIn, state

CLAIM = Claim(REF, 3, 0, 0, remaining_s=1000.0, wait_s=0.0, at_ms=1_000, trigger="requeue")
CONFLICT: Answer = (409, {"code": "conflict", "correlation_id": "c-1"})


def attempter(api: SortedApi, **options: Any) -> Attempter:
    """An attempter with dice that can be thrown again."""
    chosen: dict[str, Any] = {"worker": "w1", "budget_s": 10.0, "uniform": random.Random(1).uniform} | options
    return Attempter(api, Policy(5, 900), **chosen)


async def attempt(api: SortedApi, standin: StandIn, script: list[Answer], **options: Any) -> tuple[Settlement, Attempt]:
    """One attempt with this script; all of it must be used."""
    standin.script.extend(script)
    settlement = (await attempter(api, **options).attempt(CLAIM)).settlement
    assert not standin.script
    assert (settlement.reference, settlement.lease) == (REF, 3)
    assert settlement.packed is not None
    return settlement, unpack_attempt(settlement.packed)


@pytest.mark.parametrize(
    ("script", "calls", "to", "end"),
    [
        ([CLOSED], ["close"], State.CLOSED, Outcome.CLOSED),
        ([(304, None)], ["close"], State.CLOSED, Outcome.ALREADY_CLOSED),
        ([CONFLICT, state("closed")], ["close", "state"], State.CLOSED, Outcome.ALREADY_CLOSED),
        ([(200, b"<html>"), state("closed")], ["close", "state"], State.CLOSED, Outcome.CLOSED),
        ([(200, b"<html>"), state("locked")], ["close", "state"], State.RETRYING, None),
        ([CONFLICT, state("open")], ["close", "state"], State.FAILED, Reason.NOT_LOCKED),
        ([CONFLICT, state("locked")], ["close", "state"], State.RETRYING, None),
        ([CONFLICT, (500, None)], ["close", "state"], State.RETRYING, None),
        ([(410, None), state("open")], ["close", "state"], State.FAILED, Reason.GONE),
        ([(403, None), state("locked")], ["close", "state"], State.FAILED, Reason.FORBIDDEN),
        ([CONFLICT, (403, None)], ["close", "state"], State.FAILED, Reason.FORBIDDEN),
        ([(401, None)], ["close"], State.QUEUED, None),
        ([(404, None)], ["close"], State.RETRYING, None),
        (["cut"], ["close"], State.RETRYING, None),
    ],
)
async def test_attempts(
    api: SortedApi, standin: StandIn, script: list[Answer], calls: list[str], to: State, end: Outcome | Reason | None
) -> None:
    """Each reply is followed by the calls it needs, and settled in its state."""
    settlement, _ = await attempt(api, standin, script)
    assert standin.calls == calls
    assert (settlement.to, settlement.outcome or settlement.reason) == (to, end)


@pytest.mark.parametrize(
    ("script", "calls", "to", "outcome"),
    [
        ([(200, {"reference": REF}), CLOSED], ["lock", "close"], State.CLOSED, Outcome.CLOSED),
        ([(200, {}), state("locked"), CLOSED], ["lock", "state", "close"], State.CLOSED, Outcome.CLOSED),
        ([(200, {"state": "locked"}), state("open")], ["lock", "state"], State.RETRYING, None),
        ([(304, None), CLOSED], ["lock", "close"], State.CLOSED, Outcome.CLOSED),
        ([CONFLICT, state("locked"), CLOSED], ["lock", "state", "close"], State.CLOSED, Outcome.CLOSED),
        ([CONFLICT, state("closed")], ["lock", "state"], State.CLOSED, Outcome.ALREADY_CLOSED),
        ([CONFLICT, state("open")], ["lock", "state"], State.RETRYING, None),
        ([(304, None), CONFLICT, state("open")], ["lock", "close", "state"], State.RETRYING, None),
        ([(500, None)], ["lock"], State.RETRYING, None),
        ([(403, None)], ["lock"], State.FAILED, None),
    ],
)
async def test_lock_and_close(
    api: SortedApi, standin: StandIn, script: list[Answer], calls: list[str], to: State, outcome: Outcome | None
) -> None:
    """A group that is open is locked and then closed, when that is wanted; never in a circle."""
    settlement, _ = await attempt(api, standin, [CONFLICT, state("open"), *script], lock_if_needed=True)
    assert standin.calls == ["close", "state", *calls]
    assert (settlement.to, settlement.outcome) == (to, outcome)


@pytest.mark.parametrize(
    "body",
    [
        {"state": "CLOSED"},
        {"reference": 12, "state": "closed"},
        {"reference": None, "state": "closed"},
        {"reference": "sg_2", "state": "closed"},
        {"reference": "SG_1", "state": "closed"},
        {"reference": REF, "state": ["closed"]},
        {"reference": REF, "state": "closed", "code": "circuit_open"},
        [{"reference": REF, "state": "closed"}],
        b'{"reference": "sg_1", "reference": "sg_2", "state": "closed"}',
    ],
)
async def test_a_gateway_that_answers_everything_closes_nothing(api: SortedApi, standin: StandIn, body: Any) -> None:
    """A 200 that is not exactly about this group is never believed: not as close, not as state."""
    settlement, kept = await attempt(api, standin, [(200, body), (200, body)])
    assert standin.calls == ["close", "state"]
    assert (settlement.to, settlement.outcome) == (State.RETRYING, None)
    assert kept.detail.endswith("unusable state reply")


async def test_lock_because_an_operator_wishes_it(api: SortedApi, standin: StandIn) -> None:
    """A re-queue may ask for the lock, whatever the setting."""
    standin.script.extend([CONFLICT, state("open"), (304, None), CLOSED])
    settlement = (await attempter(api).attempt(replace(CLAIM, lock_first=True))).settlement
    assert settlement.to is State.CLOSED


async def test_what_is_kept(api: SortedApi, standin: StandIn) -> None:
    """An attempt keeps the close call's status and code, the newest correlation id, the decision and its cause."""
    settlement, kept = await attempt(api, standin, [CONFLICT, (503, {"correlation_id": "c-2"}, {"Retry-After": "30"})])
    assert (kept.at_ms, kept.worker, kept.trigger) == (1_000, "w1", "requeue")
    assert (kept.status, kept.code, kept.correlation_id) == (409, "conflict", "c-2")
    assert kept.verdict == "retry"
    assert kept.decision.startswith("retry in 3")
    assert kept.detail == "HTTP 409 conflict; state: HTTP 503"
    assert kept.duration_ms is not None
    assert (settlement.health, settlement.hold_s, settlement.told) == (ApiHealth.BAD, 30, True)
    assert settlement.delay_s >= 30


async def test_no_reply_is_kept(api: SortedApi, standin: StandIn) -> None:
    """An attempt without a reply has no status; its code is the failure, and its detail the transport's words."""
    settlement, kept = await attempt(api, standin, ["cut"])
    assert (kept.status, kept.code, kept.correlation_id) == (None, "connection_cut", None)
    assert kept.detail.startswith("connection_cut; ")
    assert (settlement.health, settlement.told) == (ApiHealth.BAD, False)


@pytest.mark.parametrize("first", [CONFLICT, (302, None), (200, b"page")])
async def test_retry_after_of_an_ambiguous_reply(api: SortedApi, standin: StandIn, first: Any) -> None:
    """A Retry-After counts wherever it comes, also with a conflict or a redirect whose state is then asked for."""
    script: list[Answer] = [(first[0], first[1], {"Retry-After": "77"}), state("locked")]
    settlement, _ = await attempt(api, standin, script)
    assert settlement.to is State.RETRYING
    assert 77 <= settlement.delay_s <= 1000
    assert settlement.told


@pytest.mark.parametrize(("seconds", "held_s"), [("950", 950), ("3600", 3600), ("9999999999", MAX_RETRY_AFTER_S)])
@pytest.mark.parametrize("status", [429, 503])
async def test_a_retry_after_holds_the_fleet_as_long_as_it_says(
    api: SortedApi, standin: StandIn, status: int, seconds: str, held_s: float
) -> None:
    """The pause between attempts has a cap, what the API asks for has none (but a year), for group and fleet."""
    settlement, _ = await attempt(api, standin, [(status, None, {"Retry-After": seconds})])
    assert settlement.to is State.RETRYING
    assert settlement.hold_s == held_s
    assert settlement.delay_s >= held_s
    assert json.loads(settlement_argument(settlement))["hold"] == held_s * 1000


HEADER = {"code": "validation_error", "details": [{"property": "x-api-version", "code": "required"}]}
DOUBTFUL: list[tuple[Answer, dict[str, Any], Reason, ApiHealth]] = [
    ((403, {"code": "forbidden", "message": "already closed"}), {}, Reason.FORBIDDEN, ApiHealth.FORBIDDEN),
    ((404, {"code": "not_found"}), {"missing": 4}, Reason.NOT_FOUND, ApiHealth.GOOD),
    ((404, {"code": "not_found"}), {"remaining_s": 0.0}, Reason.NOT_FOUND, ApiHealth.GOOD),
    ((410, {"code": "gone"}), {}, Reason.GONE, ApiHealth.GOOD),
    ((400, HEADER), {}, Reason.INVALID_REQUEST, ApiHealth.GOOD),
    ((500, {"code": "already_closed"}), {"remaining_s": 0.0}, Reason.DEADLINE_EXCEEDED, ApiHealth.BAD),
    ((429, None, {"Retry-After": "9"}), {"remaining_s": 0.0}, Reason.DEADLINE_EXCEEDED, ApiHealth.BAD),
    ("cut", {"remaining_s": 0.0}, Reason.DEADLINE_EXCEEDED, ApiHealth.BAD),
]
UNHELPFUL: list[Answer] = [
    state("open"),
    state("locked"),
    (200, {"state": "closed"}),
    (200, {"reference": "sg_2", "state": "closed"}),
    (200, {"reference": REF}),
    (304, None),
    (401, None),
    (403, {"code": "forbidden"}),
    (404, None),
    (410, None),
    (429, None),
    (503, None, {"Retry-After": "5"}),
    (200, b"this is not gzip", {"Content-Encoding": "gzip"}),
]


@pytest.mark.parametrize(("refusal", "claim", "reason", "felt"), DOUBTFUL)
async def test_a_closed_group_does_not_fail(
    api: SortedApi, standin: StandIn, refusal: Answer, claim: dict[str, Any], reason: Reason, felt: ApiHealth
) -> None:
    """Before a closure fails its state is asked: one that is closed counts as that, and the API as healthy."""
    standin.script.extend([refusal, state("closed")])
    settlement = (await attempter(api).attempt(replace(CLAIM, **claim))).settlement
    assert standin.calls == ["close", "state"]
    assert (settlement.to, settlement.outcome, settlement.reason) == (State.CLOSED, Outcome.ALREADY_CLOSED, None)
    assert settlement.health is ApiHealth.GOOD
    assert settlement.packed is not None
    kept = unpack_attempt(settlement.packed)
    assert kept.decision == "already_closed"
    assert "; asked for its state: closed" in kept.detail


@pytest.mark.parametrize("answer", UNHELPFUL)
@pytest.mark.parametrize(("refusal", "claim", "reason", "felt"), DOUBTFUL)
async def test_any_other_state_changes_nothing(
    api: SortedApi,
    standin: StandIn,
    refusal: Answer,
    claim: dict[str, Any],
    reason: Reason,
    felt: ApiHealth,
    answer: Answer,
) -> None:
    """Any other answer, or none, fails as before and never postpones; what the close says of the API stands."""
    standin.script.extend([refusal, answer])
    settlement = (await attempter(api).attempt(replace(CLAIM, **claim))).settlement
    assert standin.calls == ["close", "state"]
    assert (settlement.to, settlement.outcome, settlement.reason) == (State.FAILED, None, reason)
    assert settlement.health is felt
    assert settlement.packed is not None
    kept = unpack_attempt(settlement.packed)
    assert kept.decision == f"failed: {reason}"
    assert "; asked for its state: " in kept.detail


async def test_a_wait_told_to_the_last_question_holds_the_fleet(api: SortedApi, standin: StandIn) -> None:
    """A Retry-After counts for the fleet whichever call is told it, and does not postpone the failure."""
    settlement, _ = await attempt(api, standin, [(410, None), (429, None, {"Retry-After": "33"})])
    assert (settlement.to, settlement.reason, settlement.hold_s) == (State.FAILED, Reason.GONE, 33)


async def test_no_time_for_the_last_question(api: SortedApi, standin: StandIn) -> None:
    """Where the lease leaves no time for it, the closure fails without the question."""
    standin.script.append("hang")
    settlement = (await attempter(api, budget_s=0.2).attempt(replace(CLAIM, remaining_s=0.0))).settlement
    assert (settlement.to, settlement.reason) == (State.FAILED, Reason.DEADLINE_EXCEEDED)
    assert standin.calls == ["close"]


async def test_an_error_of_our_own_at_the_deadline(
    api: SortedApi, standin: StandIn, caplog: pytest.LogCaptureFixture
) -> None:
    """A question that breaks in closer itself is not an answer, so the closure fails as before, with its cause."""
    settlement = (await attempter(api).attempt(replace(CLAIM, reference="no/reference", remaining_s=0.0))).settlement
    assert (settlement.to, settlement.reason) == (State.FAILED, Reason.DEADLINE_EXCEEDED)
    assert settlement.packed is not None
    assert unpack_attempt(settlement.packed).detail.startswith("closer's own error: ValueError")
    assert standin.requests == []


async def test_no_call_outlives_the_lease(api: SortedApi, standin: StandIn) -> None:
    """When the budget is used up no further call is made; the attempt is tried again."""
    settlement, kept = await attempt(api, standin, ["hang"], budget_s=0.2)
    assert (settlement.to, kept.code) == (State.RETRYING, "timeout")
    standin.requests.clear()
    settlement, kept = await attempt(api, standin, [], budget_s=0.0)
    assert standin.requests == []
    assert settlement.health is ApiHealth.UNKNOWN
    assert kept.detail == "the attempt took as long as its lease allows"


async def test_an_error_of_our_own(api: SortedApi, standin: StandIn, caplog: pytest.LogCaptureFixture) -> None:
    """An error of closer's own is kept with the attempt, logged with its trace, and tried again."""
    settlement = (await attempter(api).attempt(replace(CLAIM, reference="no/reference"))).settlement
    assert settlement.to is State.RETRYING
    assert settlement.packed is not None
    assert "closer's own error: ValueError" in unpack_attempt(settlement.packed).detail
    assert "broke; it will be tried again" in caplog.text


async def test_the_deadline_passes(api: SortedApi, standin: StandIn) -> None:
    """After the deadline a failure is the last one, with its cause."""
    standin.script.extend([(500, None), state("locked")])
    settlement = (await attempter(api).attempt(replace(CLAIM, remaining_s=0.0))).settlement
    assert (settlement.to, settlement.reason) == (State.FAILED, Reason.DEADLINE_EXCEEDED)
    assert settlement.packed is not None
    assert unpack_attempt(settlement.packed).decision == "failed: deadline_exceeded"
