"""Stored bulk actions with real workers: whoever is killed in the middle, it ends, and each item is done once."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.closure import Reason
from tests.end_to_end.fleet import SETTINGS, closures, own_store
from tests.operations.seed import Seed, sow
from tests.support import Process, count, run, until
from worker.simulator.server import Simulator, run_in_thread

GROUPS = [f"sg_{number:04}" for number in range(400)]
COMMAND = ("requeue", "--reason", "gone", "--rate", "50/s", "--why", "account fixed", "--json")


class Fleet:
    """A store with failed closures, an API that closes them, and commands."""

    def __init__(self, folder: Path, url: str, store: redis.Redis, api: str) -> None:
        self.folder, self.url, self.store = folder, url, store
        self._settings: dict[str, Any] = {**SETTINGS, "redis_url": url, "api_base_url": api, "operator": "olga"}

    def start(self, *arguments: str) -> Process:
        """Start a command, or a worker."""
        return Process(self.folder, *(arguments or ("worker",)), **self._settings)

    def json(self, *arguments: str) -> Any:
        """What a command prints."""
        done = run(*arguments, "--json", **self._settings)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def action(self) -> Any:
        """The newest action."""
        return self.json("actions", "list")[0]

    def assert_done_once(self) -> None:
        """Every group is closed, each was re-queued once, and the audit says so."""
        until(lambda: count(self.store, "closed") == len(GROUPS), "all are closed")
        until(lambda: self.action()["state"] == "done", "the action's end")
        action = self.action()
        assert (action["changed"], action["left"], action["skipped"]) == (len(GROUPS), 0, {})
        assert action["became"] == {"closed": len(GROUPS), "retrying": 0, "failed": 0, "waiting": 0}
        [entry] = self.json("audit")
        assert (entry["matched"], entry["changed"]) == (len(GROUPS), len(GROUPS))
        for closure in closures(self.url, GROUPS).values():
            assert [one.action for one in closure.actions] == ["requeue"]


@pytest.fixture
def fleet(tmp_path: Path) -> Any:
    """Such a fleet, without a worker."""
    with own_store(tmp_path / "store") as (url, store), run_in_thread(Simulator()) as (api, _):
        sow(url, [Seed(reference, Reason.GONE, 410) for reference in GROUPS])
        yield Fleet(tmp_path, url, store, api)


def test_whoever_is_killed_it_ends(fleet: Fleet) -> None:
    """kill -9 of the command, then of the worker that has taken over; another worker does the rest."""
    with fleet.start() as worker:
        with fleet.start(*COMMAND) as command:
            until(lambda: count(fleet.store, "failed") <= 300, "the first items")
            command.stop(signal.SIGKILL)
        until(lambda: count(fleet.store, "failed") <= 150, "the worker carries it on")
        worker.stop(signal.SIGKILL)
    assert count(fleet.store, "failed") > 0
    with fleet.start():
        fleet.assert_done_once()


def test_a_command_that_is_stopped_for_a_while_does_nothing_twice(fleet: Fleet) -> None:
    """A worker takes the action over; the command goes on, finds that out, and tells the end all the same."""
    with fleet.start(), fleet.start(*COMMAND) as command:
        until(lambda: count(fleet.store, "failed") <= 300, "the first items")
        command.process.send_signal(signal.SIGSTOP)
        fleet.assert_done_once()
        command.process.send_signal(signal.SIGCONT)
        assert command.process.wait(30) == 0
        assert f'"requeued": {len(GROUPS)}' in command.output


def test_a_lost_terminal_leaves_it_to_the_workers(fleet: Fleet) -> None:
    """SIGHUP does not stop it, and says nothing of a stop; a worker goes on at once."""
    with fleet.start(), fleet.start(*COMMAND) as command:
        until(lambda: count(fleet.store, "failed") <= 300, "the first items")
        assert command.stop(signal.SIGHUP) == 0
        assert "Stopped" not in command.output
        fleet.assert_done_once()


def test_detached(fleet: Fleet) -> None:
    """The command returns at once, and says that no worker is alive; the first one that starts does it."""
    done = run(*COMMAND, "--detach", redis_url=fleet.url, operator="olga")
    assert done.returncode == 0
    told = json.loads(done.stdout)
    assert (told["requeued"], told["state"]) == (0, "running")
    assert f"closer actions stop {told['id']}" in done.stderr.splitlines()[0]
    assert "No worker is alive" in done.stderr
    assert fleet.action()["state"] == "running"
    with fleet.start():
        fleet.assert_done_once()


def test_stopped_from_elsewhere(fleet: Fleet) -> None:
    """The command that carries it is told who stopped it and why, and ends with exit code 1."""
    with fleet.start(*COMMAND[:4], "5/s", *COMMAND[5:]) as command:
        until(lambda: count(fleet.store, "failed") < len(GROUPS), "the first items")
        action = fleet.action()["id"]
        [stopped] = fleet.json("actions", "stop", action, "--why", "wrong filter")
        assert stopped["state"] == "stopped"
        assert command.process.wait(30) == 1
        assert "Stopped: olga stopped it: wrong filter" in command.output
    left = count(fleet.store, "failed")
    assert left == stopped["left"] > 0
    [recalled] = fleet.json("actions", "recall", action, "--why", "wrong filter")
    assert (recalled["recalled"], recalled["state"]) == (len(GROUPS) - left, "done")
    assert count(fleet.store, "failed") == len(GROUPS)


def test_a_canary(fleet: Fleet) -> None:
    """The first are closed, then the rest follow; all by one command."""
    with fleet.start():
        with fleet.start("requeue", "--reason", "gone", "--canary", "20", "--why", "account fixed") as command:
            assert command.process.wait(60) == 0
            assert "The canary is out." in command.output
            assert f"Requeued {len(GROUPS)} of {len(GROUPS)} that match" in command.output
        fleet.assert_done_once()
