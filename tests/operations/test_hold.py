"""`closer hold` and `closer release`: what operators type before something is closed that must not be."""

from __future__ import annotations

import pytest
import redis

from tasks.closure import Reason, State
from tasks.events.event import GroupComplete
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.support import key_of

WHY = ("--why", "trailer 42 is not complete")
SEEDS = [
    Seed("sg_failed", Reason.NOT_LOCKED, 409, "not_locked", "wms"),
    Seed("sg_closed", None, 200, None, "wms"),
]


def receive(cli: Cli, *references: str) -> None:
    """Have the ledger receive an event for each."""
    at_ledger(cli.url, lambda ledger: ledger.receive([GroupComplete(one, "wms", f"e-{one}") for one in references]))


def claim(cli: Cli, reference: str, lease_s: float) -> None:
    """A worker claims it, and dies."""
    at_ledger(cli.url, lambda ledger: ledger.claim([reference], worker="host:1", lease_s=lease_s))


def test_a_group_is_held_and_released(cli: Cli, store: redis.Redis) -> None:
    """Held: it shows who, why and what to do next. Released: it is queued. Both are in the audit."""
    receive(cli, "sg_1")
    told = cli.json("hold", "sg_1", *WHY)
    assert len(told.pop("id")) == 9
    assert told == {
        "matched": 1, "held": 1, "pending": 0, "longest_wait_s": 0.0, "too_late": [], "skipped": {}, "dry_run": False,
    }  # fmt: skip
    shown = cli.json("show", "sg_1")
    assert (shown["state"], shown["hold"]["by"], shown["hold"]["why"]) == ("held", "olga", WHY[1])
    assert shown["first_step"] == {"verb": "release", "selection": {"references": ["sg_1"]}}
    text = cli.text("show", "sg_1")
    assert "It is held by olga since" in text
    assert "closer release sg_1 --why" in text
    assert "1 held  (closer list --state held)" in cli.text("status")
    assert cli.json("status")["notices"][0]["kind"] == "held"
    assert cli.json("release", "--state", "held", "--why", "it is complete now")["released"] == 1
    assert cli.json("show", "sg_1")["state"] == "queued"
    assert [one["action"] for one in cli.lines("audit")] == ["hold", "release"]
    assert [(one["matched"], one["changed"]) for one in cli.lines("audit")] == [(1, 1), (1, 1)]
    assert [action["action"] for action in cli.json("show", "sg_1")["actions"]] == ["hold", "release"]


def test_a_group_that_is_not_known_yet(cli: Cli) -> None:
    """It is held beforehand; released without an event it is forgotten, and both are said."""
    assert "Held 1 of 1" in cli.text("hold", "sg_new", *WHY)
    assert "no event has come for it" in cli.text("show", "sg_new")
    assert cli.lines("list", "--state", "held")[0]["reference"] == "sg_new"
    assert "No event had come" in cli.text("release", "sg_new", "--why", "a mistake")
    cli("show", "sg_new", code=1)


def test_a_held_failure_is_listed_as_held(cli: Cli) -> None:
    """`list` says that it is held, and by whom; the reason that it had failed for is in `show`."""
    cli.sow(SEEDS)
    cli("hold", "sg_failed", *WHY)
    [line] = [line for line in cli.text("list", "--state", "held").splitlines() if "sg_failed" in line]
    assert line.split()[1] == "held"
    assert "held by olga" in line


def test_closed_groups_are_told_loudly(cli: Cli) -> None:
    """Exit code 1 and a clear word: the hold came too late."""
    cli.sow(SEEDS)
    done = cli("hold", "sg_closed", "sg_failed", *WHY, code=1)
    assert "Held 1 of 2" in done.stdout
    assert "TOO LATE: 1 group closed already:\n  sg_closed" in done.stderr
    assert cli.json("hold", "sg_closed", *WHY, code=1)["too_late"] == ["sg_closed"]


def test_who_holds_it_is_said(cli: Cli) -> None:
    """A second hold, a re-queue and a discard do nothing to a held group, and say who holds it and why."""
    cli.sow(SEEDS)
    cli("hold", "sg_failed", *WHY, operator="anna")
    held_by = "sg_failed is held by anna since"
    for arguments, code in (
        (("hold", "sg_failed", "--why", "me too"), 0),
        (("requeue", "sg_failed"), 1),
        (("discard", "sg_failed", "--why", "x"), 1),
    ):
        done = cli(*arguments, code=code)
        assert held_by in done.stderr
        assert WHY[1] in done.stderr
    assert cli.json("show", "sg_failed")["hold"]["by"] == "anna"
    assert cli.json("requeue", "sg_failed", code=1)["skipped"] == {"held": 1}


def test_an_attempt_under_way(cli: Cli) -> None:
    """Not waited for, it is told as pending, with the longest wait; its lease ends, and the hold has taken effect."""
    receive(cli, "sg_1")
    claim(cli, "sg_1", lease_s=2.0)
    done = cli("hold", "sg_1", "--no-wait", *WHY)
    assert "PENDING: an attempt is still under way for 1 group" in done.stderr
    assert "It may still close the group" in cli.text("show", "sg_1")
    shown = cli.json("hold", "sg_1", *WHY)
    assert (shown["held"], shown["pending"], shown["too_late"]) == (1, 0, [])
    assert cli.json("show", "sg_1")["state"] == "held"


@pytest.mark.parametrize("arguments", [("hold", "sg_1"), ("hold", *WHY), ("release", "sg_1"), ("release", *WHY)])
def test_what_is_refused(cli: Cli, store: redis.Redis, arguments: tuple[str, ...]) -> None:
    """A reason and a choice are needed; nothing is written without them."""
    cli(*arguments, code=2)
    assert store.xlen(key_of("audit")) == 0


def test_dry_runs(cli: Cli) -> None:
    """They tell how many, and change nothing."""
    cli.sow(SEEDS)
    shown = cli.json("hold", "--source", "wms", "--dry-run", *WHY)
    assert shown == {"matched": 2, "held": 0, "skipped": {"closed": 1}, "dry_run": True, "eligible": 1}
    assert cli.json("show", "sg_failed")["state"] == State.FAILED
    cli("hold", "sg_failed", *WHY)
    assert "1 of them would be released" in cli.text("release", "--state", "held", "--dry-run", *WHY)
    assert cli.json("release", "--state", "held", "--dry-run", *WHY)["eligible"] == 1
    assert cli.json("show", "sg_failed")["state"] == State.HELD


def test_long_holds_show_in_status(cli: Cli, store: redis.Redis) -> None:
    """A hold that is older than a day may have been forgotten."""
    cli("hold", "sg_1", *WHY)
    store.zadd(key_of("held"), {"sg_1": (store.time()[0] - 90_000) * 1000})
    assert "1 of them for more than a day" in cli.text("status")
    assert cli.json("status")["held_over_a_day"] == 1
