"""Actions that ask the API first, with real workers: whoever is killed in the middle, each group is corrected once."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.closure import Reason, State
from tests.end_to_end.fleet import SETTINGS, closures, own_store
from tests.operations.seed import Seed, sow
from tests.support import Process, count, run, until
from worker.simulator.server import Simulator, run_in_thread

GROUPS = [f"sg_{number:04}" for number in range(300)]
CLOSED = GROUPS[::2]  # "half of them are closed already"
PACE = ("--rate", "60/s", "--json")


class Fleet:
    """A store with failed closures, an API where half of the groups are closed, and commands."""

    def __init__(self, folder: Path, url: str, store: redis.Redis, api: str, simulator: Simulator) -> None:
        self.folder, self.url, self.store, self.simulator = folder, url, store, simulator
        self._settings: dict[str, Any] = {**SETTINGS, "redis_url": url, "api_base_url": api, "operator": "olga"}

    def start(self, *arguments: str) -> Process:
        """Start a command, or a worker."""
        return Process(self.folder, *(arguments or ("worker",)), **self._settings)

    def json(self, *arguments: str) -> Any:
        """What a command prints."""
        return [json.loads(line) for line in run(*arguments, "--json", **self._settings).stdout.splitlines()]

    def ended(self) -> Any:
        """The only action, when it has ended."""
        until(lambda: self.json("actions", "list")[0]["state"] == "done", "the action's end")
        [action] = self.json("actions", "list")
        return action

    def closes(self, references: list[str]) -> list[int]:
        """How often each group was told to close."""
        return [self.simulator.groups.records()[reference].close_calls for reference in references]


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[Fleet]:
    """Such a fleet, without a worker."""
    with own_store(tmp_path / "store") as (url, store), run_in_thread(Simulator()) as (api, simulator):
        sow(url, [Seed(reference, Reason.FORBIDDEN, 403) for reference in GROUPS])
        for reference in GROUPS:
            simulator.groups.add(reference, "closed" if reference in CLOSED else "locked")
        yield Fleet(tmp_path, url, store, api, simulator)


def killed_in_the_middle(fleet: Fleet, *command: str) -> Process:
    """kill -9 of the command, then of the worker that has taken over. Returns another worker, which does the rest."""
    with fleet.start() as worker:
        with fleet.start(*command, *PACE) as running:
            until(lambda: count(fleet.store, "failed") <= 270, "the first items")
            running.stop(signal.SIGKILL)
        before = count(fleet.store, "failed")
        until(lambda: count(fleet.store, "failed") <= before - 30, "the worker carries it on")
        worker.stop(signal.SIGKILL)
    assert count(fleet.store, "failed") > 0
    return fleet.start()


def test_a_verify_that_is_killed_ends(fleet: Fleet) -> None:
    """Each closure is corrected once, the audit counts each once, and no group is told to close."""
    with killed_in_the_middle(fleet, "verify", "--reason", "forbidden"):
        action = fleet.ended()
    assert (action["changed"], action["skipped"]) == (len(CLOSED), {"agree": len(GROUPS) - len(CLOSED)})
    [entry] = fleet.json("audit")
    assert (entry["action"], entry["changed"], entry["skipped"]) == ("verify", len(CLOSED), {"agree": 150})
    for reference, closure in closures(fleet.url, GROUPS).items():
        closed = reference in CLOSED
        assert closure.state is (State.CLOSED if closed else State.FAILED)
        assert [one.action for one in closure.actions] == (["verify"] if closed else [])
    assert fleet.closes(GROUPS) == [0] * len(GROUPS)


def test_a_requeue_that_asks_first_and_is_killed_ends(fleet: Fleet) -> None:
    """Half of them are closed already: these are recorded without a call, the others are called once."""
    with killed_in_the_middle(fleet, "requeue", "--reason", "forbidden", "--ask-api", "--why", "account fixed"):
        action = fleet.ended()
        until(lambda: count(fleet.store, "closed") == len(GROUPS), "all are closed")
    assert (action["changed"], action["skipped"]) == (150, {"recorded as closed": 150})
    assert fleet.closes(CLOSED) == [0] * len(CLOSED)
    assert set(fleet.closes([reference for reference in GROUPS if reference not in CLOSED])) == {1}
    for reference, closure in closures(fleet.url, GROUPS).items():
        assert [one.action for one in closure.actions] == ["verify" if reference in CLOSED else "requeue"]


def test_a_detached_verify_waits_for_the_gate(fleet: Fleet) -> None:
    """While the fleet is paused nothing is asked, and the action says so; then it goes on by itself."""
    run("pause", "--why", "wait", redis_url=fleet.url, operator="olga")
    [told] = fleet.json("verify", "--reason", "forbidden", "--rate", "1000/s", "--detach")
    assert (told["state"], told["asked"]) == ("running", 0)
    with fleet.start():
        until(lambda: fleet.json("actions", "list")[0]["waits_for"] == "gate", "it waits for the gate")
        assert sum(group.calls for group in fleet.simulator.groups.records().values()) == 0
        run("resume", "--why", "go on", redis_url=fleet.url, operator="olga")
        assert fleet.ended()["changed"] == len(CLOSED)


def test_a_verify_that_is_interrupted_is_resumed(fleet: Fleet) -> None:
    """Ctrl-C stops it after its step; it says how it goes on, and nothing is asked for twice."""
    with fleet.start("verify", "--reason", "forbidden", *PACE) as command:
        until(lambda: count(fleet.store, "failed") <= 280, "the first items")
        assert command.stop(signal.SIGINT) == 0
        output = command.output
    [found] = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert (found["stopped"], found["ended"], found["state"]) == (True, None, "stopped")
    assert f"closer actions resume {found['id']}" in output
    [action] = fleet.json("actions", "resume", found["id"])
    assert (action["changed"], action["left"], action["state"]) == (len(CLOSED), 0, "done")
    assert {group.calls for group in fleet.simulator.groups.records().values()} == {1}
