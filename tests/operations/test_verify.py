"""`closer verify`: the ledger is corrected by what the API says."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tasks.api.reply import Body, Failure, NoReply, Reply
from tasks.api_health import ApiHealth
from tasks.closure import Reason, State
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Settlement
from tests.end_to_end.standin import Say, Script, StandIn, running
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.support import API_KEY
from worker.operations.questions import read_state
from worker.simulator.server import Simulator, run_in_thread

SEEDS = [
    Seed("sg_late", Reason.DEADLINE_EXCEEDED, None, "timeout"),
    Seed("sg_open", Reason.NOT_LOCKED, 409, "conflict"),
    Seed("sg_fine"),
    Seed("sg_opened"),
]


@pytest.fixture
def api(cli: Cli) -> Iterator[Cli]:
    """A ledger that is wrong about two of four groups, and an API that knows better."""
    cli.sow(SEEDS)
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, simulator):
        for reference, state in (
            ("sg_late", "closed"),
            ("sg_fine", "closed"),
            ("sg_open", "open"),
            ("sg_opened", "open"),
        ):
            simulator.groups.add(reference, state)  # type: ignore[arg-type]
        cli.settings["api_base_url"] = url
        yield cli


def test_the_ledger_is_mended_where_it_disagrees(api: Cli) -> None:
    """A failed one that is closed is closed; a closed one that is open fails, loudly; the others stay."""
    done = api("verify", "--text", "sg_", "--why", "doubts", "--json")
    assert "sg_opened" in done.stderr
    assert "NOT at the API" in done.stderr
    closures = {closure["reference"]: closure for closure in api.lines("list")}
    assert (closures["sg_late"]["state"], closures["sg_late"]["outcome"]) == ("closed", "already_closed")
    assert (closures["sg_opened"]["state"], closures["sg_opened"]["reason"]) == ("failed", "reopened")
    assert (closures["sg_open"]["reason"], closures["sg_fine"]["outcome"]) == ("not_locked", "closed")
    [entry] = api.lines("audit")
    assert (entry["action"], entry["matched"], entry["changed"], entry["skipped"]) == ("verify", 4, 2, {"agree": 2})
    assert api.json("status")["failed"] == {"not_locked": 1, "reopened": 1}
    assert "verify by olga: doubts" in api.text("show", "sg_late")


def test_a_reopened_closure_can_be_queued_again(api: Cli) -> None:
    """It has a deadline again, and closes as any other."""
    api("verify", "sg_opened")
    assert api.json("requeue", "sg_opened")["requeued"] == 1
    assert api.json("show", "sg_opened")["state"] == "queued"


def test_a_discarded_closure_that_is_closed_counts_as_closed(api: Cli) -> None:
    """It is asked for as any other: closed is a fact, whatever an operator gave up; one that is open stays as it is."""
    api("discard", "sg_late", "sg_open", "--why", "nobody wants them")
    found = api.json("verify", "sg_late", "sg_open")
    assert (found["asked"], found["agree"], found["mended"]) == (2, 1, {"closed": 1, "reopened": 0})
    shown = api.json("show", "sg_late")
    assert (shown["state"], shown["outcome"], shown["reason"]) == ("closed", "already_closed", None)
    assert api.json("show", "sg_open")["state"] == "discarded"


def test_a_dry_run_only_tells(api: Cli) -> None:
    """What would be mended is counted, nothing is changed, nothing is audited."""
    found = api.json("verify", "--text", "sg_", "--dry-run")
    assert (found["asked"], found["agree"], found["mended"]) == (4, 2, {"closed": 1, "reopened": 1})
    assert api.json("status")["failed"] == {"deadline_exceeded": 1, "not_locked": 1}
    assert api.lines("audit") == []


def test_a_wrong_key_ends_it(api: Cli) -> None:
    """A refused key ends the asking, because further questions would fail; the key is not shown."""
    done = api("verify", "sg_late", code=1, api_key="wrong-key")
    assert "refuses the key" in done.stderr
    assert "wrong-key" not in done.stderr


@pytest.mark.parametrize(
    ("reply", "says"),
    [
        (Reply(200, Body(reference="sg_1", state="Closed")), "closed"),
        (Reply(200, Body(reference="sg_1", state="locked")), "locked"),
        (Reply(200, Body(state="open")), "unusable reply"),
        (Reply(200, Body(state="closed")), "unusable reply"),
        (Reply(200, Body(reference="SG_1", state="closed")), "unusable reply"),
        (Reply(200, Body(reference="sg_1", state="closed", code="circuit_open")), "unusable reply"),
        (Reply(200, Body(reference="sg_1")), "unusable reply"),
        (Reply(203, Body(reference="sg_1", state="closed")), "HTTP 203"),
        (Reply(200, Body(reference="sg_2", state="closed")), "unusable reply"),
        (Reply(200, Body(reference="sg_1", state="melted")), "unusable reply"),
        (Reply(200), "unusable reply"),
        (Reply(404, Body(code="not_found")), "HTTP 404 not_found"),
        (NoReply(Failure.TIMEOUT), "timeout"),
    ],
)
def test_only_a_clear_reply_counts(reply: Reply | NoReply, says: str) -> None:
    """A later 404 proves nothing, nor does a reply about another group."""
    assert read_state(reply, "sg_1") == says


@pytest.mark.parametrize("body", ['{"state": "CLOSED"}', '{"state": "open"}', '{"reference": 12, "state": "closed"}'])
def test_a_gateway_that_answers_everything_mends_nothing(api: Cli, body: str) -> None:
    """A gateway's own 200 without the group's reference neither closes nor reopens one in the ledger."""
    before = api.lines("list")
    with running(StandIn({}, default=Script(close=(), state=(Say(200, body),)))) as url:
        found = api.json("verify", "--text", "sg_", api_base_url=url)
    assert (found["asked"], found["unclear"]) == (4, {"unusable reply": 4})
    assert (found["agree"], found["mended"]) == (0, {"closed": 0, "reopened": 0})
    assert api.lines("list") == before


@pytest.mark.parametrize("reason", ["paused", "outage", "unauthorised"])
def test_a_shut_gate_is_respected(api: Cli, reason: str) -> None:
    """While the fleet stands still nothing is asked, unless the operator says so: asking changes nothing."""
    shut(api.url, reason)
    refused = api("verify", "--text", "sg_", code=1)
    assert reason in refused.stderr
    assert "--while-shut" in refused.stderr
    assert api.json("verify", "--text", "sg_", "--while-shut")["asked"] == 4


def test_a_throttled_api_is_left_alone(api: Cli) -> None:
    """What the API asked for by Retry-After holds for an operator's questions, too, whatever is said."""
    throttle(api.url, 300.0)
    for option in ([], ["--while-shut"]):
        done = api("verify", "--text", "sg_", *option, code=1)
        assert "hold back until" in done.stderr
        assert "Asked the API for 0 groups of 4" in done.stdout
    assert "wants no calls until" in api.text("check", code=0)


def test_a_short_retry_after_is_waited_for(api: Cli) -> None:
    """A Retry-After that is soon over only delays the answer."""
    throttle(api.url, 1.0)
    assert api.json("verify", "--text", "sg_")["asked"] == 4


def test_a_429_ends_it_and_holds_the_fleet(cli: Cli) -> None:
    """The first 429 ends the asking, with exit code 1, and the workers hold back as long as it says."""
    cli.sow([Seed(f"sg_{number}") for number in range(120)])
    stand_in = StandIn({}, default=Script((), (Say(429, '{"code": "slow_down"}', {"Retry-After": "600"}),)))
    with running(stand_in) as url:
        cli.settings["api_base_url"] = url
        found = cli.json("verify", "--text", "sg_", code=1)
    assert found["stopped"]
    assert len(stand_in.calls) <= 10
    assert cli.json("status")["gate"]["reason"] == "throttled"


def test_questions_share_the_rate_limit(cli: Cli) -> None:
    """Questions take their turns among the fleet's calls: at 40 a second 21 take half a second at least."""
    cli.sow([Seed(f"sg_{number}") for number in range(21)])
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, _):
        cli.settings |= {"api_base_url": url, "rate_limit": 40}
        before_ms = slot_ms(cli.url, 40.0)
        assert cli.json("verify", "--text", "sg_")["asked"] == 21
        assert slot_ms(cli.url, 40.0) - before_ms >= 21 * 25


def slot_ms(url: str, rate: float) -> float:
    """When the rate limit allows the next call, by the store's clock (ms)."""

    async def look(ledger: Ledger) -> float:
        slot = await ledger.gate.slot(rate)
        return slot.gate.now_ms + (slot.wait_s or 0.0) * 1000

    return at_ledger(url, look)


def throttle(url: str, seconds: float) -> None:
    """The API has asked the fleet to hold back."""
    at_ledger(url, lambda ledger: ledger.gate.throttle(seconds))


def shut(url: str, reason: str) -> None:
    """Shut the gate for this reason."""

    async def change(ledger: Ledger) -> None:
        if reason == "paused":
            await ledger.gate.pause(by="ann")
            return
        health = ApiHealth.UNAUTHORISED if reason == "unauthorised" else ApiHealth.BAD
        await ledger.settle([Settlement(f"x{number}", 1, State.QUEUED, health=health) for number in range(20)])

    at_ledger(url, change)


def test_detached_and_carried_on_by_hand(api: Cli) -> None:
    """It asks nothing itself, and says how it is stopped; whoever resumes it asks for what is left."""
    done = api("verify", "--text", "sg_", "--detach", "--json")
    assert '"state": "running"' in done.stdout
    assert "verify 4 groups; the workers carry it on" in done.stderr
    [action] = api.lines("actions", "list")
    assert (action["verb"], action["left"], action["by"]) == ("verify", 4, "olga")
    api("actions", "stop", action["id"])
    resumed = api.json("actions", "resume", action["id"])
    assert (resumed["state"], resumed["changed"], resumed["skipped"]) == ("done", 2, {"agree": 2})
    assert "only re-queues and discards" in api("actions", "recall", action["id"], code=1).stderr


def test_an_action_that_resumes_waits_for_the_gate(api: Cli) -> None:
    """A Retry-After that is soon over only delays a verify that is resumed."""
    action = api.json("verify", "--text", "sg_", "--detach")["id"]
    api("actions", "stop", action)
    throttle(api.url, 1.0)
    assert api.json("actions", "resume", action)["changed"] == 2


def test_nothing_that_the_ledger_knows(api: Cli) -> None:
    """No action is begun, and nothing is asked."""
    found = api.json("verify", "sg_never")
    assert (found["id"], found["asked"], found["skipped"]) == (None, 0, {"unknown": 1})
    assert api.lines("actions", "list") == []
