"""The gate in `closer status`, and what `pause` and `resume` say."""

from __future__ import annotations

from tasks.api_health import ApiHealth
from tasks.closure import State
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Settlement
from tests.operations.conftest import Cli, at_ledger


def test_resume_tells_what_still_stands(cli: Cli) -> None:
    """After a pause an API that asked for time is left alone; only a word against that, with a reason, ends it."""
    at_ledger(cli.url, lambda ledger: ledger.gate.throttle(7200.0))
    cli("pause", "--why", "upgrade")
    said = cli.text("resume")
    assert "The gate is shut" in said
    assert "throttled, by closer: until" in said
    gate = cli.json("status")["gate"]
    assert [one["reason"] for one in gate["reasons"]] == ["throttled"]
    assert gate["until"] == gate["reasons"][0]["until"] > gate["since"]
    assert "--why" in cli("resume", "--override-retry-after", code=2).stderr
    assert "open" in cli.text("resume", "--override-retry-after", "--why", "agreed with Sorted")
    newest = cli.lines("audit")[-1]
    assert (newest["action"], newest["why"], newest["changed"]) == ("override", "agreed with Sorted", 1)


def test_every_reason_is_shown(cli: Cli) -> None:
    """The status has each reason with its since, by and end, and each suspended key with its workers."""

    async def shut(ledger: Ledger) -> None:
        await ledger.heartbeats.write("host:1", {"key": "deadbeef"})
        await ledger.settle([Settlement("x", 1, State.QUEUED, health=ApiHealth.UNAUTHORISED)], key="deadbeef")
        await ledger.gate.throttle(60.0)
        await ledger.gate.pause(by="pia", why="upgrade")

    at_ledger(cli.url, shut)
    status = cli.json("status")
    assert [one["reason"] for one in status["gate"]["reasons"]] == ["paused", "unauthorised", "throttled"]
    [key] = status["suspended_keys"]
    assert (key["key"], key["workers"]) == ("deadbeef", ["host:1"])
    text = cli.text("status")
    for words in ("SHUT: paused", "SHUT: unauthorised", "SHUT: throttled", "deadbeef is suspended", "host:1"):
        assert words in text


def test_a_refused_key_that_nobody_has_any_more(cli: Cli) -> None:
    """A suspended key whose workers have gone needs nothing, and nobody is told to restart them."""

    async def refused(ledger: Ledger) -> None:
        await ledger.settle([Settlement("x", 1, State.QUEUED, health=ApiHealth.UNAUTHORISED)], key="deadbeef")

    at_ledger(cli.url, refused)
    text = cli.text("status")
    assert "deadbeef is suspended" in text
    assert "no worker that is alive has it any more" in text
    assert "restart them" not in text
    assert "\\n" not in text


def test_no_probe_is_promised_that_will_not_come(cli: Cli) -> None:
    """While a pause or a Retry-After stands nothing is probed, so the next probe is told as due after it."""

    async def shut(ledger: Ledger) -> None:
        await ledger.settle([Settlement("x", 1, State.QUEUED, health=ApiHealth.UNAUTHORISED)])
        await ledger.gate.throttle(7200.0)
        await ledger.gate.pause(by="pia", why="upgrade")

    at_ledger(cli.url, shut)
    assert (
        "unauthorised, by closer: until a probe is answered well; nothing is probed until `closer resume`"
        in cli.text("pause", "--why", "again")
    )
    said = cli.text("resume")
    [until] = [line.partition("until ")[2].partition(",")[0] for line in said.splitlines() if "throttled" in line]
    assert f"the next is due at {until}" in said
    assert "the next is due now" in cli.text("resume", "--override-retry-after", "--why", "agreed")


def test_a_shut_gate_says_who_why_and_what_to_do_next(cli: Cli) -> None:
    """Paused by hand: the words of the one who did it, and the way out."""
    assert cli.json("pause", "--by", "pia", "--why", "upgrade")["reason"] == "paused"
    gate = cli.json("status")["gate"]
    assert (gate["open"], gate["reason"], gate["by"], gate["why"]) == (False, "paused", "pia", "upgrade")
    assert gate["since"].endswith("Z")
    text = cli.text("status")
    assert "SHUT: paused" in text
    assert "closer resume" in text
    assert "open" in cli.text("resume")
    assert cli.json("status")["gate"]["open"] is True
    assert [(entry["by"], entry["action"], entry["changed"], entry["why"]) for entry in cli.lines("audit")] == [
        ("pia", "pause", 1, "upgrade"),
        ("olga", "resume", 1, ""),
    ]


def test_a_pause_by_closer_itself(cli: Cli) -> None:
    """It follows damage of the store's files: status and check say what to look at, and send nobody to ask closer."""
    at_ledger(cli.url, lambda ledger: ledger.gate.pause(by="closer", why="the store's file was damaged"))
    text = cli.text("status")
    assert "Look at the audit: is everybody's last action there?" in text
    assert "closer resume --why" in text
    assert "Ask the one who paused it" not in text
    gate = next(line for line in cli.json("check", code=1)["checks"] if "paused by closer" in line["message"])
    assert gate["remedy"].startswith("Look at the audit")
