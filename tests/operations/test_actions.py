"""`closer actions`: what operators see of stored bulk actions, and what they can do about them."""

from __future__ import annotations

import pytest
import redis

from tasks.closure import Reason
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.support import count, key_of

SEEDS = [Seed(f"sg_{number}", Reason.NOT_LOCKED, 409, "not_locked") for number in range(3)]


def begin(cli: Cli, *arguments: str) -> str:
    """Begin a re-queue that nobody carries."""
    told = cli.json("requeue", "--reason", "not_locked", "--why", "confirmed", "--detach", *arguments)
    assert (told["state"], told["requeued"]) == ("running", 0)
    return str(told["id"])


def test_list_and_show(cli: Cli) -> None:
    """Each action has its id, state and counts; one that nobody carries tells what to do."""
    assert cli.lines("actions", "list") == []
    assert "There are no bulk actions" in cli.said("actions", "list")[1]
    cli.sow(SEEDS)
    done = cli.json("requeue", "sg_0", "sg_never", "--why", "first")["id"]
    waiting = begin(cli, "--rate", "1/s", "--canary", "2")
    listed = cli.lines("actions", "list")
    assert [(one["id"], one["state"]) for one in listed] == [(waiting, "running"), (done, "done")]
    assert cli.lines("actions", "list", "--limit", "1") == listed[:1]
    shown = cli.json("actions", "show", waiting)
    assert (shown["verb"], shown["matched"], shown["changed"], shown["left"]) == ("requeue", 2, 0, 2)
    assert shown["options"] == {"rate": 1.0, "canary": 2}
    assert (shown["by"], shown["why"], shown["door"]) == ("olga", "confirmed", "cli")
    assert len(shown["hash"]) == 16
    assert cli.json("actions", "show", done)["skipped"] == {"unknown": 1}
    text = cli.text("actions", "list")
    assert f"{waiting}  " in text
    page = cli.text("actions", "show", waiting)
    assert "rate 1, canary 2" in page
    assert "0 of 2; 2 not looked at yet" in page
    assert "not looked at" not in cli.text("actions", "show", done)
    assert f"closer actions stop {waiting}" in page
    assert "--rate 1/s --canary 2" in cli.text("audit")


def test_an_action_of_nothing_says_nothing_of_a_stop(cli: Cli) -> None:
    """It has ended already; one that is left to the workers has not, and its numbers are those so far."""
    cli.sow(SEEDS)
    done = cli("requeue", "sg_never", "--why", "confirmed", code=1)
    assert "closer actions stop" not in done.stderr
    assert "Requeued 0 of 3 that match so far." in cli.text(
        "requeue", "--reason", "not_locked", "--detach", "--why", "x"
    )


def test_items_that_were_not_done_are_named(cli: Cli) -> None:
    """Each with why, by `show`."""
    cli.sow(SEEDS)
    first = begin(cli)
    second = begin(cli)
    cli("actions", "stop", first)
    at_ledger(cli.url, lambda ledger: ledger.bulk.step(second, "requeue", holder="x"))
    cli("actions", "resume", first)
    shown = cli.json("actions", "show", first)
    assert shown["not_done"] == {f"sg_{number}": "not needed" for number in range(3)}
    assert shown["skipped"] == {"not needed": 3}
    assert "sg_2: not needed" in cli.text("actions", "show", first)
    assert cli.json("actions", "show", first, "--items", "0")["not_done"] == {}


def test_stop_resume_and_recall(cli: Cli, store: redis.Redis) -> None:
    """Each is told and audited; a recall puts everything back, and `show` tells of it."""
    cli.sow(SEEDS)
    action = begin(cli)
    assert "Stopped" in cli.text("actions", "stop", action, "--why", "wait")
    assert "olga stopped it: wait" in cli.text("actions", "show", action)
    assert "changed 3 of 3" in cli.text("actions", "resume", action)
    told = cli.json("actions", "recall", action, "--why", "the wrong ones")
    assert (told["recalls"], told["matched"], told["recalled"], told["skipped"]) == (action, 3, 3, {})
    assert count(store, "failed") == 3
    assert cli.json("actions", "show", action)["state"] == "recalled"
    assert [entry["action"] for entry in cli.lines("audit")] == ["requeue", "stop action", "resume action", "recall"]
    assert cli.lines("audit")[3]["action_id"] == told["id"]
    assert f"recall {action}" in cli.text("audit")
    assert [one["action"] for one in cli.json("show", "sg_0")["actions"]] == ["requeue", "recall"]


def test_what_was_too_late_is_named(cli: Cli) -> None:
    """With exit code 1 when nothing could be taken back."""
    cli.sow(SEEDS)
    action = cli.json("requeue", "--reason", "not_locked")["id"]
    at_ledger(cli.url, lambda ledger: ledger.claim(["sg_0"], worker="w", lease_s=0.001))
    at_ledger(cli.url, lambda ledger: ledger.due(limit=10, grace_s=1, most=10))
    done = cli("actions", "recall", action)
    assert "Recalled 2 of 3" in done.stdout
    assert "Not the others: 1 called." in done.stdout
    assert "sg_0: called" in done.stderr
    closed = cli.json("requeue", "sg_1")["id"]
    at_ledger(cli.url, lambda ledger: ledger.claim(["sg_1"], worker="w", lease_s=0.001))
    at_ledger(cli.url, lambda ledger: ledger.due(limit=10, grace_s=1, most=10))
    cli("actions", "recall", closed, code=1)


def test_left_to_the_workers(cli: Cli, store: redis.Redis) -> None:
    """A resume, a recall and a release can be detached; each says that no worker is alive, and how to look."""
    cli.sow(SEEDS)
    action = begin(cli)
    assert cli.json("actions", "stop", action)["state"] == "stopped"
    assert "No worker is alive" in cli.said("actions", "resume", action, "--detach")[1]
    assert cli.json("actions", "show", action)["state"] == "running"
    cli.json("actions", "stop", action)
    assert cli.json("actions", "resume", action)["changed"] == 3
    code, said = cli.said("actions", "recall", action, "--detach")
    assert (code, "No worker is alive" in said) == (0, True)
    recall = cli.lines("actions", "list")[0]
    assert (recall["verb"], recall["recalls"], recall["state"], recall["left"]) == ("recall", action, "running", 3)
    assert f"Recalls  {action}" in cli.text("actions", "show", recall["id"])
    cli("hold", "sg_9", "--why", "wait")
    told = cli.json("release", "--state", "held", "--why", "go", "--detach")
    assert (told["released"], told["state"]) == (0, "running")


def test_a_pending_recall(cli: Cli, store: redis.Redis) -> None:
    """A claimed group is told as pending; a gate that is shut is told, too."""
    cli.sow(SEEDS)
    action = cli.json("requeue", "sg_0", "sg_1")["id"]
    at_ledger(cli.url, lambda ledger: ledger.claim(["sg_0"], worker="w", lease_s=600))
    recall = cli.json("actions", "recall", action, "--detach")["id"]
    at_ledger(cli.url, lambda ledger: ledger.bulk.step(recall, "recall", holder="x"))
    page = cli.text("actions", "show", recall)
    assert "1 are being attempted, and return if they are not called" in page
    assert "Recalled" in cli.text("actions", "show", action)
    cli("pause", "--why", "upgrade")
    paced = begin(cli, "--rate", "1/s")
    at_ledger(cli.url, lambda ledger: ledger.bulk.step(paced, "requeue", holder="x"))
    assert "waiting: the gate is shut" in cli.text("actions", "show", paced)


def test_many_that_are_too_late(cli: Cli) -> None:
    """The first twenty are named, and the number of the others."""
    seeds = [Seed(f"sg_{number:02}", Reason.GONE, 410) for number in range(25)]
    cli.sow(seeds)
    action = cli.json("requeue", "--reason", "gone", "--yes")["id"]
    references = [seed.reference for seed in seeds]
    at_ledger(cli.url, lambda ledger: ledger.claim(references, worker="w", lease_s=0.001))
    at_ledger(cli.url, lambda ledger: ledger.due(limit=100, grace_s=1, most=100))
    done = cli("actions", "recall", action, code=1)
    assert "Not the others: 25 called." in done.stdout
    assert "sg_19: called\n  and 5 more: closer actions show " in done.stderr


def test_a_discard_is_recalled(cli: Cli, store: redis.Redis) -> None:
    """It is as if it had not been."""
    cli.sow(SEEDS)
    action = cli.json("discard", "--reason", "not_locked", "--why", "gone")["id"]
    assert count(store, "discarded") == 3
    cli("actions", "recall", action, "--why", "not gone")
    assert [one["reason"] for one in cli.lines("list", "--state", "failed")] == ["not_locked"] * 3


def test_what_cannot_be_done(cli: Cli) -> None:
    """Each is told with what to look at, and ends with exit code 1."""
    cli.sow(SEEDS)
    action = cli.json("requeue", "sg_0")["id"]
    for word in ("stop", "resume"):
        assert f"action {action} is done; see `closer actions list`" in cli("actions", word, action, code=1).stderr
    recall = cli.json("actions", "recall", action)["id"]
    assert "was recalled already" in cli("actions", "recall", action, code=1).stderr
    assert "only re-queues and discards" in cli("actions", "recall", recall, code=1).stderr
    for word in ("show", "stop", "resume", "recall"):
        assert "no action has the id nothing" in cli("actions", word, "nothing", code=1).stderr


def test_damaged_actions(cli: Cli, store: redis.Redis) -> None:
    """What another program has written is named, and does not hide the others."""
    cli.sow(SEEDS)
    action, other = cli.json("requeue", "sg_0")["id"], cli.json("requeue", "sg_1")["id"]
    store.hset(key_of(f"action:{action}"), "changed", "many")
    code, said = cli.said("actions", "list")
    assert (code, f"the action {action} is damaged" in said) == (0, True)
    assert [one["id"] for one in cli.lines("actions", "list")] == [other]
    assert "is damaged" in cli("actions", "show", action, code=1).stderr
    store.delete(key_of(f"action:{action}"))
    assert f"the action {action} is damaged" in cli.said("actions", "list")[1]


@pytest.mark.parametrize("given", ["0", "10", "1y", "31d", "x"])
def test_a_length_of_time(cli: Cli, given: str) -> None:
    """A canary's wait is told with its unit."""
    assert "is not a length of time" in cli("requeue", "sg_0", "--canary-wait", given, code=2).stderr


def test_a_canary_that_fails(cli: Cli, store: redis.Redis) -> None:
    """Exit code 1, why it stopped, and how it goes on."""
    cli.sow(SEEDS)
    action = begin(cli, "--canary", "1", "--canary-wait", "2h")
    at_ledger(cli.url, lambda ledger: ledger.bulk.step(action, "requeue", holder="x"))
    cli.sow(SEEDS[:1])
    at_ledger(cli.url, lambda ledger: ledger.bulk.step(action, "requeue", holder="x"))
    page = cli.text("actions", "show", action)
    assert "stopped: 1 of the 1 canary items failed again" in page
    assert f"closer actions resume {action}" in page
    assert cli.json("actions", "resume", action)["changed"] == 3


def test_older_workers_are_named(cli: Cli, store: redis.Redis) -> None:
    """A recall says which worker must stop first."""
    cli.sow(SEEDS)
    action = cli.json("requeue", "sg_0")["id"]
    store.hset(key_of("workers"), "old", f'{{"at": {store.time()[0] * 1000}, "ledger_version": 1}}')
    assert "'old'" in cli("actions", "recall", action, code=1).stderr


def test_the_audit_of_a_stop_without_a_reason(cli: Cli) -> None:
    """It names the action."""
    cli.sow(SEEDS)
    action = begin(cli)
    cli("actions", "stop", action)
    assert cli.lines("audit")[-1]["selection"] == {"action": action}
