"""`closer requeue` and `closer discard`, through the real console script."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest
import redis

from tasks.closure import Reason
from tests.operations.conftest import Cli
from tests.operations.seed import Seed
from tests.support import API_KEY, Process, count, key_of, until
from worker.simulator.server import Simulator, run_in_thread

CAUSES = [(Reason.NOT_LOCKED, 409, "conflict"), (Reason.NOT_FOUND, 404, "not_found"), (Reason.GONE, 410, "gone")]


def failed(number: int) -> list[Seed]:
    """So many failed closures of three causes."""
    return [Seed(f"sg_{n:05d}", *CAUSES[n % 3]) for n in range(number)]


def test_the_operators_story(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """Three causes with their counts; a dry run; one cause re-queued; only its groups are called; the audit tells."""
    cli.sow(failed(900))
    assert {group["reason"]: group["count"] for group in cli.lines("list", "--group-by", "reason")} == {
        "not_locked": 300, "not_found": 300, "gone": 300,
    }  # fmt: skip
    dry = cli.json("requeue", "--reason", "not_found", "--dry-run")
    assert dry == {"matched": 300, "requeued": 0, "skipped": {}, "dry_run": True, "eligible": 300}
    assert count(store, "failed") == 900
    with run_in_thread(Simulator()) as (url, simulator):
        done = cli("requeue", "--reason", "not_found", "--by", "jane", "--why", "account fixed", "--json")
        told = json.loads(done.stdout)
        action_id = told.pop("id")
        assert told == {"matched": 300, "requeued": 300, "skipped": {}, "dry_run": False}
        assert f"Action {action_id}: requeue 300 groups; Ctrl-C stops it" in done.stderr.splitlines()[0]
        assert f"closer actions stop {action_id}" in done.stderr.splitlines()[0]
        with Process(tmp_path, "worker", redis_url=cli.url, api_base_url=url):
            until(lambda: count(store, "closed") == 300, "the re-queued groups are closed")
        called = set(simulator.records())
    assert called == {seed.reference for seed in failed(900) if seed.reason is Reason.NOT_FOUND}
    [entry] = cli.lines("audit")
    del entry["id"], entry["at"]
    assert entry == {
        "by": "jane", "action": "requeue", "filter": "--reason not_found", "matched": 300, "changed": 300,
        "skipped": {}, "why": "account fixed", "door": "cli", "selection": {"filter": {"reason": ["not_found"]}},
        "action_id": action_id,
    }  # fmt: skip
    story = cli.json("show", "sg_00001")
    assert [attempt["trigger"] for attempt in story["history"]] == ["automatic", "bulk"]


def test_acting_on_everything_is_refused(cli: Cli, store: redis.Redis) -> None:
    """Neither command runs without references or a filter, nor with both."""
    cli.sow(failed(3))
    assert "everything" in cli("requeue", "--why", "x", "--yes", code=2).stderr
    assert "everything" in cli("discard", "--why", "x", "--yes", code=2).stderr
    cli("requeue", "sg_00001", "--reason", "gone", code=2)
    assert "everything" in cli("discard", "--text", "", "--why", "x", code=2).stderr
    assert count(store, "failed") == 3
    assert cli.lines("audit") == []


def test_what_cannot_be_requeued_is_counted_by_why(cli: Cli) -> None:
    """A closed group and an unknown one are left alone and counted; if nothing was done, the exit code is 1."""
    cli.sow([Seed("sg_closed"), *failed(1)])
    result = cli.json("requeue", "sg_closed", "sg_never", "sg_00000")
    assert len(result.pop("id")) == 9
    assert result == {"matched": 3, "requeued": 1, "skipped": {"closed": 1, "unknown": 1}, "dry_run": False}
    again = cli.json("requeue", "sg_closed", "sg_00000", code=1)
    assert (again["requeued"], again["skipped"]) == (0, {"closed": 1, "queued": 1})
    assert cli.lines("audit")[0]["skipped"] == {"closed": 1, "unknown": 1}


def test_a_requeued_closure_gets_a_new_deadline_and_keeps_its_history(cli: Cli, store: redis.Redis) -> None:
    """The deadline counts from the re-queue; before any worker has started, it is CLOSER_RETRY_DEADLINE here."""
    cli.sow(failed(1))
    cli("requeue", "sg_00000", retry_deadline=1000)
    record = json.loads(store.get(key_of("c:sg_00000")) or "")
    left_s = record["d"] / 1000 - store.time()[0]
    assert 900 < left_s <= 1001
    assert len(record["h"]) == 1


@pytest.mark.long
def test_an_operator_goes_by_the_fleets_settings(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """A re-queue's deadline and the stream are those of the worker that started last; one that differs is named."""
    cli.sow(failed(1))
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, _):
        fleet = {"redis_url": cli.url, "api_base_url": url}
        with Process(tmp_path, "worker", **fleet, retry_deadline=4000):
            until(lambda: len(cli.json("status")["workers"]) == 1, "the first worker")
            settings = fleet | {"retry_deadline": 3000, "rate_limit": 50, "events_stream": "other"}
            with Process(tmp_path, "worker", **settings):
                until(lambda: len(cli.json("status")["workers"]) == 2, "the second worker")
                [names] = cli.json("status")["differing_workers"].values()
                assert names == ["CLOSER_RETRY_DEADLINE", "CLOSER_RATE_LIMIT", "CLOSER_EVENTS_STREAM"]
                assert "differ from the fleet's" in cli.text("status")
                [line] = [line for line in cli.json("check", api_base_url=url)["checks"] if line["name"] == "fleet"]
                assert "CLOSER_RATE_LIMIT" in line["message"]
        assert cli.json("publish", "sg_9")["stream"] == "other"
        assert cli.json("status")["backlog"] == 1
        cli("requeue", "sg_00000", retry_deadline=1000)
    record = json.loads(store.get(key_of("c:sg_00000")) or "")
    assert 2900 < record["d"] / 1000 - store.time()[0] <= 3001


def test_lock_makes_the_worker_lock_open_groups_first(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """Groups that failed as not_locked are locked, then closed."""
    cli.sow([Seed("sg_open", Reason.NOT_LOCKED, 409, "conflict")])
    with run_in_thread(Simulator()) as (url, simulator):
        simulator.groups.add("sg_open", "open")
        cli("requeue", "--reason", "not_locked", "--lock")
        with Process(tmp_path, "worker", redis_url=cli.url, api_base_url=url):
            until(lambda: count(store, "closed") == 1, "locked and closed")
        assert simulator.records()["sg_open"].effective_closes == 1
    assert cli.lines("audit")[0]["filter"] == "--reason not_locked --lock"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_action_and_resume_does_the_rest(
    cli: Cli, store: redis.Redis, tmp_path: Path, number: signal.Signals
) -> None:
    """The output and the audit say how many were done, and no closure is changed twice."""
    cli.sow(failed(600))
    command = ("requeue", "--state", "failed", "--rate", "100/s", "--json")
    with Process(tmp_path, *command, redis_url=cli.url, operator="olga") as running:
        until(lambda: count(store, "queued") >= 100, "the first chunk")
        assert running.stop(number) == 1
        output = running.output
    [result] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert result["stopped"] is True
    assert 0 < result["requeued"] == count(store, "queued") < 600
    assert "Stopped: olga interrupted it" in output
    assert f"To go on: closer actions resume {result['id']}" in output
    assert f"{600 - result['requeued']} not touched: interrupted, or still going on" in cli.text("audit")
    assert cli.json("actions", "show", result["id"])["state"] == "stopped"
    store.hdel(key_of(f"action:{result['id']}"), "rate")  # it would take another five seconds
    rest = cli.json("actions", "resume", result["id"])
    assert (rest["changed"], rest["state"], count(store, "queued")) == (600, "done", 600)
    assert [entry["changed"] for entry in cli.lines("audit")] == [600, 1]


def test_an_action_that_is_killed_has_its_audit_entry(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """What took effect before the kill is counted in the audit, exactly; without a worker nothing goes on."""
    cli.sow(failed(600))
    with Process(tmp_path, "requeue", "--state", "failed", "--rate", "100/s", redis_url=cli.url) as running:
        until(lambda: count(store, "queued") >= 100, "the first chunk")
        running.stop(signal.SIGKILL)
    [entry] = cli.lines("audit")
    assert (entry["matched"], entry["changed"]) == (600, count(store, "queued"))


def test_discard_needs_a_reason_and_is_final(cli: Cli, store: redis.Redis) -> None:
    """Without --why nothing happens; after it the group is neither queued by an event nor re-queued."""
    cli.sow(failed(3))
    cli("discard", "--reason", "gone", code=2)
    result = cli.json("discard", "--reason", "gone", "--why", "removed")
    assert len(result.pop("id")) == 9
    assert result == {"matched": 1, "discarded": 1, "skipped": {}, "dry_run": False}
    assert count(store, "discarded") == 1
    assert cli.json("requeue", "sg_00002", code=1)["skipped"] == {"discarded": 1}
    assert cli.lines("audit")[0]["action"] == "discard"


def test_the_operators_name(cli: Cli) -> None:
    """The name is --by, else CLOSER_OPERATOR, else the login name."""
    cli.sow(failed(3))
    cli("requeue", "sg_00000", "--by", "jane")
    cli("requeue", "sg_00001")
    cli.settings.pop("operator")
    cli("requeue", "sg_00002")
    names = [entry["by"] for entry in cli.lines("audit")]
    assert names[:2] == ["jane", "olga"]
    assert names[2]
    assert [entry["by"] for entry in cli.lines("audit", "--by", "jane")] == ["jane"]
