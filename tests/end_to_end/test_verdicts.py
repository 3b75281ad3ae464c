"""Every row of the verdict table: scripted replies over real HTTP, through one real worker process."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from tasks.closure import Closure
from tests.end_to_end.cases import CASES, LOCKING, OK, UNTIL_THE_DEADLINE, Case, again, status_of
from tests.end_to_end.fleet import SETTINGS, closures, end_of, own_store, wait_for_all
from tests.end_to_end.standin import BASE_PATH, Say, Script, StandIn, running
from tests.support import API_KEY, Process, publish
from worker.simulator.script import Call

DEADLINE_S = 8
ON_A_DATE = "429-date"
# Groups that close at once, between the others: without them so many ill replies would be an outage.
_HEALTHY = 2


@dataclass(frozen=True, slots=True)
class Played:
    """What a run of cases came to."""

    stand_in: StandIn
    closures: dict[str, Closure]
    log: str


def date_after(on: float) -> int:
    """The date that a call at `on` is told to come back at: a whole second, more than one second away."""
    return math.ceil(on) + 1


def play(folder: Path, cases: list[Case], **settings: object) -> Played:
    """Publish all cases, run one worker until each has ended, and stop it."""
    on_a_date = again(ON_A_DATE, Say(429, on_date=date_after))
    scripts = {case.reference: case.script for case in [*cases, on_a_date]}
    references = [f"{name}{tail}" for name in scripts for tail in ("", *(f"-{n}" for n in range(_HEALTHY)))]
    stand_in = StandIn(scripts, default=Script((OK,)))
    with own_store(folder / "store") as (url, store), running(stand_in) as base_url:
        publish(store, references)
        given = {**SETTINGS, "retry_deadline": DEADLINE_S, **settings}
        with Process(folder, "worker", redis_url=url, api_base_url=base_url, **given) as worker:
            wait_for_all(store, len(references), worker)
            assert worker.stop() == 0, worker.output
            return Played(stand_in, closures(url, references), worker.output)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Played, Played]:
    """All cases by a fleet that never locks, and beside it those of groups that may be locked."""
    with ThreadPoolExecutor(2) as beside:
        never = beside.submit(play, tmp_path_factory.mktemp("never"), CASES)
        needed = beside.submit(play, tmp_path_factory.mktemp("needed"), LOCKING, lock_before_close="if-needed")
        return never.result(), needed.result()


@pytest.fixture(scope="module")
def played(runs: tuple[Played, Played]) -> Played:
    """The run of all cases."""
    return runs[0]


@pytest.fixture(scope="module")
def played_locking(runs: tuple[Played, Played]) -> Played:
    """The run of the groups that may be locked."""
    return runs[1]


def check(case: Case, played: Played) -> None:
    """The group ended as it must, after exactly the calls that were due, and the record tells the last of them."""
    calls = [call.endpoint for call in played.stand_in.of(case.reference)]
    closure = played.closures[case.reference]
    expected = case.calls.split()
    if UNTIL_THE_DEADLINE in expected:
        middle = expected.index(UNTIL_THE_DEADLINE)
        round_, end = expected[:middle], expected[middle + 1 :]
        rounds = (len(calls) - len(end)) // len(round_)
        assert rounds >= 3, "it was not tried until the deadline"
        assert calls == round_ * rounds + end
    else:
        assert calls == expected
    assert end_of(closure) == case.ends
    assert closure.state == ("closed" if case.ends in ("closed", "already_closed") else "failed")
    last = closure.last_attempt
    reply = case.script.reply("close", calls.count("close") - 1)
    assert last is not None
    assert last.status == status_of(reply)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.reference)
def test_every_reply_has_its_verdict(case: Case, played: Played) -> None:
    """Whatever the API replies, the group ends in the state and after the calls that the table says."""
    check(case, played)
    calls = [call.endpoint for call in played.stand_in.of(case.reference)]
    assert played.closures[case.reference].attempts == calls.count("close")


@pytest.mark.parametrize("case", LOCKING, ids=lambda case: case.reference)
def test_a_group_is_locked_only_where_that_is_needed(case: Case, played_locking: Played) -> None:
    """With CLOSER_LOCK_BEFORE_CLOSE=if-needed an open group, and no other, is locked and then closed.

    A Retry-After beyond the deadline gives one last attempt at that time.
    """
    check(case, played_locking)


@pytest.mark.parametrize(("reference", "seconds"), [("429-seconds", 2), ("503-seconds", 1), ("404-seconds", 1)])
def test_retry_after_in_seconds_is_never_undercut(reference: str, seconds: int, played: Played) -> None:
    """Between a reply with Retry-After and the next call there is at least that much time."""
    first, second = played.stand_in.of(reference)
    assert second.at - first.at >= seconds


def test_retry_after_as_a_date_is_never_undercut(played: Played) -> None:
    """A group told to come back at a date is called at that date at the earliest, and closes then."""
    first, second = played.stand_in.of(ON_A_DATE)
    assert second.on >= date_after(first.on)
    assert end_of(played.closures[ON_A_DATE]) == "closed"


def requests(*runs: Played) -> Iterator[Call]:
    """Every request of these runs."""
    for run in runs:
        yield from run.stand_in.calls


def test_every_request_is_as_documented(played: Played, played_locking: Played) -> None:
    """Each request has the right method, path and headers, and neither a body nor a query."""
    paths = {"close": ("POST", "/close"), "lock": ("POST", "/lock"), "get": ("GET", "")}
    for call in requests(played, played_locking):
        method, action = paths[call.endpoint]
        assert (call.method, call.target) == (method, f"{BASE_PATH}/shipment_groups/{call.reference}{action}")
        assert (call.headers["x-api-key"], call.headers["x-api-version"]) == (API_KEY, "1.1")
        assert call.headers["Accept"] == "application/json"
        assert call.body == b""
        assert not {"Cookie", "Authorization", "Content-Type"} & call.headers.keys()


def test_healthy_groups_are_called_once(played: Played) -> None:
    """What goes wrong with some groups costs the others nothing: each is called once, and closes."""
    healthy = [ref for ref in played.closures if ref not in {case.reference for case in CASES} | {ON_A_DATE}]
    assert len(healthy) == _HEALTHY * (len(CASES) + 1)
    assert {len(played.stand_in.of(ref)) for ref in healthy} == {1}
    assert {end_of(played.closures[ref]) for ref in healthy} == {"closed"}


def test_the_correlation_id_is_kept(played: Played) -> None:
    """What Sorted's support asks for stands with the attempt and in the log."""
    closure = played.closures["410"]
    assert closure.as_json()["correlation_id"] == "c-410"
    assert "correlation_id=c-410 " in played.log
