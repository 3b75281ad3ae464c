"""`--ask-api`: a re-queue or a discard asks the API first what the groups are there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tasks.closure import Reason
from tests.end_to_end.standin import Say, Script, StandIn, running
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.operations.test_verify import shut, throttle
from tests.support import API_KEY, count
from worker.operations.ask_first import SAMPLE, sample
from worker.simulator.groups import State
from worker.simulator.server import Simulator, run_in_thread

STATES: dict[str, State] = {"closed": "closed", "open": "open", "locked": "locked"}


@pytest.fixture
def api(cli: Cli) -> Iterator[Simulator]:
    """Four failed closures; at the API one is closed, one is open, one is locked, and one is not known."""
    cli.sow([Seed(f"sg_{name}", Reason.FORBIDDEN, 403, "forbidden") for name in (*STATES, "never")])
    with run_in_thread(Simulator(api_key=API_KEY, unknown="missing")) as (url, simulator):
        for name, state in STATES.items():
            simulator.groups.add(f"sg_{name}", state)
        cli.settings["api_base_url"] = url
        yield simulator


def calls(simulator: Simulator) -> int:
    """How many groups the API has been told to close."""
    return sum(record.close_calls for record in simulator.records().values())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("requeue",), "1 of 4 is closed at the API already, 1 is not locked and would fail again, 1 is locked."),
        (("requeue", "--lock"), "1 is not locked and would be locked first"),
        (("discard", "--why", "gone"), "1 is not locked, 1 is locked."),
    ],
)
def test_a_dry_run_tells_what_the_api_says(
    cli: Cli, api: Simulator, store: redis.Redis, options: tuple[str, ...], words: str
) -> None:
    """In words that say what would become of each; nothing is changed or audited."""
    text = cli.text(*options, "--reason", "forbidden", "--dry-run", "--ask-api")
    assert words in text
    assert "1 group could not be told: 1 HTTP 404" in text
    assert "Nothing was changed" in text
    assert (count(store, "failed"), calls(api), cli.lines("audit")) == (4, 0, [])


def test_a_dry_run_as_json(cli: Cli, api: Simulator) -> None:
    """The fields of a dry run stay, and what the API says is added."""
    told = cli.json("requeue", "--reason", "forbidden", "--dry-run", "--ask-api")
    says = told.pop("api")
    assert told == {"matched": 4, "requeued": 0, "skipped": {}, "dry_run": True, "eligible": 4}
    [why] = says.pop("unclear")
    assert "404" in why
    assert says == {"asked": 4, "sample": False, "closed": 1, "not_locked": 1, "locked": 1, "ended": None}
    assert "api" not in cli.json("requeue", "--reason", "forbidden", "--dry-run")
    assert calls(api) == 0


def test_those_that_are_closed_are_recorded_without_a_call(cli: Cli, api: Simulator, store: redis.Redis) -> None:
    """The others are re-queued, whatever the API says of them; each is told, and audited."""
    told = cli.json("requeue", "--reason", "forbidden", "--ask-api", "--why", "account fixed")
    assert (told["matched"], told["requeued"], told["skipped"]) == (4, 3, {"recorded as closed": 1})
    assert (count(store, "queued"), count(store, "closed"), calls(api)) == (3, 1, 0)
    shown = cli.json("show", "sg_closed")
    assert (shown["state"], shown["outcome"], shown["attempts"]) == ("closed", "already_closed", 1)
    [entry] = cli.lines("audit")
    assert (entry["changed"], entry["skipped"]) == (3, {"recorded as closed": 1})
    assert "--ask-api" in entry["filter"]
    assert cli.json("actions", "show", told["id"])["options"] == {"rate": 50.0, "ask_api": True}
    recalled = cli.json("actions", "recall", told["id"])
    assert (recalled["recalled"], count(store, "closed")) == (3, 1)


def test_a_named_one_that_is_closed_is_a_success(cli: Cli, api: Simulator) -> None:
    """Nothing is re-queued, and nothing needs to be: exit code 0. Of a discard, too."""
    assert cli.json("requeue", "sg_closed", "--ask-api")["skipped"] == {"recorded as closed": 1}
    assert calls(api) == 0


def test_a_discard_gives_up_only_what_is_not_closed(cli: Cli, api: Simulator) -> None:
    """What is closed is recorded as closed, and so is no discard."""
    told = cli.json("discard", "--reason", "forbidden", "--why", "gone", "--ask-api")
    assert (told["discarded"], told["skipped"]) == (3, {"recorded as closed": 1})
    assert cli.json("show", "sg_closed")["state"] == "closed"
    assert calls(api) == 0


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
@pytest.mark.parametrize("reason", ["paused", "outage", "unauthorised"])
def test_while_the_gate_is_shut(cli: Cli, api: Simulator, reason: str, dry_run: tuple[str, ...]) -> None:
    """Nothing is asked and nothing is changed, and the words say why; an operator may ask all the same."""
    shut(cli.url, reason)
    said = cli("requeue", "--reason", "forbidden", "--ask-api", *dry_run, code=1).stderr
    assert f"the gate is shut ({reason}" in said
    assert "--while-shut" in said
    assert cli.json("status")["failed"] == {"forbidden": 4}
    assert (cli.lines("actions", "list"), cli.lines("audit", "--since", "1d")[1:]) == ([], [])
    cli("requeue", "--reason", "forbidden", "--ask-api", "--while-shut", *dry_run)
    assert calls(api) == 0


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_while_the_api_wants_no_calls(cli: Cli, api: Simulator, dry_run: tuple[str, ...]) -> None:
    """A Retry-After counts for an operator's questions, whatever is said: exit code 1, until when, nothing changed."""
    throttle(cli.url, 300.0)
    said = cli("requeue", "--reason", "forbidden", "--ask-api", "--while-shut", *dry_run, code=1).stderr
    assert "the API asked to hold back until" in said
    assert (cli.json("status")["failed"], calls(api)) == ({"forbidden": 4}, 0)


@pytest.mark.parametrize("dry_run", [(), ("--dry-run",)])
def test_a_key_that_is_refused(cli: Cli, api: Simulator, dry_run: tuple[str, ...]) -> None:
    """Exit code 1; nothing is re-queued, and a stored action is stopped, so that it can be resumed with a good key."""
    said = cli("requeue", "--reason", "forbidden", "--ask-api", *dry_run, code=1, api_key="wrong-key").stderr
    assert "the API refuses the key (401)" in said
    assert "wrong-key" not in said
    assert cli.json("status")["failed"] == {"forbidden": 4}
    for action in cli.lines("actions", "list"):
        assert (action["state"], action["left"]) == ("stopped", 4)
        assert "refuses the key" in action["stopped_because"]
        assert cli.json("actions", "resume", action["id"])["changed"] == 3
    assert calls(api) == 0


def test_without_a_key(cli: Cli) -> None:
    """It says so before anything is begun."""
    cli.sow([Seed("sg_1", Reason.GONE, 410)])
    assert "CLOSER_API_KEY" in cli("requeue", "sg_1", "--ask-api", code=2, api_key="").stderr
    assert cli.lines("actions", "list") == []


def test_a_429_ends_a_dry_run(cli: Cli) -> None:
    """It tells what it knows by then, and that this is not all; the fleet holds back."""
    cli.sow([Seed(f"sg_{number}", Reason.GONE, 410) for number in range(60)])
    busy = StandIn({}, default=Script((), (Say(429, '{"code": "slow_down"}', {"Retry-After": "600"}),)))
    with running(busy) as url:
        done = cli("requeue", "--reason", "gone", "--dry-run", "--ask-api", code=1, api_base_url=url)
    assert "Not all were asked for: the API asked to hold back" in done.stderr
    assert len(busy.calls) <= 10
    assert cli.json("status")["gate"]["reason"] == "throttled"


def test_of_many_a_sample_is_asked_for(cli: Cli) -> None:
    """Of more than a thousand, a thousand that are spread evenly; it is named as a sample."""
    assert sample(["a", "b"]) == ["a", "b"]
    many = [f"sg_{number:05}" for number in range(2500)]
    chosen = sample(many)
    assert (len(chosen), len(set(chosen)), chosen[0], chosen[-1]) == (SAMPLE, SAMPLE, many[0], many[2497])
    cli.sow([Seed(reference, Reason.GONE, 410) for reference in many[:1200]])
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, simulator):
        for reference in many[:1200]:
            simulator.groups.add(reference, "closed")
        cli.settings |= {"api_base_url": url, "rate": 0}
        arguments = ("requeue", "--reason", "gone", "--dry-run", "--ask-api", "--rate", "100000/s")
        text = cli.text(*arguments)
        assert "A sample, spread evenly over the 1,200 groups, was asked for:" in text
        assert "1,000 of 1,000 are closed at the API already" in text
        says = cli.json(*arguments)["api"]
    assert (says["asked"], says["sample"], says["closed"]) == (1000, True, 1000)


def test_a_canary_counts_only_what_is_queued(cli: Cli, api: Simulator, store: redis.Redis) -> None:
    """Those that are recorded as closed prove nothing of the others."""
    told = cli.json("requeue", "--reason", "forbidden", "--ask-api", "--canary", "2", "--detach")
    assert told["state"] == "running"
    assert cli.lines("actions", "list")[0]["options"] == {"rate": 50.0, "canary": 2, "ask_api": True}
    asked = at_ledger(cli.url, lambda ledger: ledger.bulk.step(told["id"], "requeue", holder="x")).to_ask
    assert [reference for reference, _ in asked] == ["sg_closed", "sg_locked"]
    assert (count(store, "failed"), calls(api)) == (4, 0)
