"""`closer status`, `list`, `show` and `audit`, through the real console script."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from tasks.api_health import ApiHealth
from tasks.closure import Reason, State
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Settlement
from tests.faults.inside import planted
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.support import API_KEY, Process, key_of, run, until
from worker.simulator.server import Simulator, run_in_thread

NOT_LOCKED = Seed("sg_1", Reason.NOT_LOCKED, 409, "conflict", "wms-a", "HTTP 409 conflict; group is open")
# A process whose clock is off, however it asks for the time.
WRONG_CLOCK = """
import datetime, time
real = time.time
time.time = lambda: real() + {offset_s}
class Wrong(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return super().now(tz) + datetime.timedelta(seconds={offset_s})
datetime.datetime = Wrong
"""
SEEDS = [NOT_LOCKED, Seed("sg_2", Reason.GONE, 410, "gone", "wms-b"), Seed("sg_3", None, 200, None, "wms-b")]


def test_status_of_an_empty_store(cli: Cli) -> None:
    """Every field is there from the beginning."""
    status = cli.json("status")
    assert status["closures"] == dict.fromkeys(["queued", "closing", "retrying", "closed", "failed", "discarded"], 0)
    assert (status["failed"], status["oldest_open_age_s"], status["backlog"], status["rejected"]) == ({}, None, 0, 0)
    assert status["workers"] == []
    nothing = dict.fromkeys(["reason", "since", "until", "by", "why"])
    assert status["gate"] == {"open": True, "reasons": []} | nothing
    assert status["suspended_keys"] == []


def test_status_counts_failures_by_reason_and_what_waits(cli: Cli, store: redis.Redis) -> None:
    """Closures, failures, backlog and rejected events, for programs and for people."""
    cli.sow(SEEDS)
    store.xadd(key_of("rejected"), {"event": "x", "problems": "[]", "origin": "1-0"})
    assert cli.json("publish", "sg_9") == {"published": 1, "stream": "shipment-groups.complete"}
    status = cli.json("status")
    assert (status["closures"]["failed"], status["closures"]["closed"]) == (2, 1)
    assert status["failed"] == {"gone": 1, "not_locked": 1}
    assert (status["backlog"], status["rejected"]) == (1, 1)
    assert status["rate"] == {"last_minute": 1, "last_hour": 1}
    text = cli.text("status")
    assert "closer list --reason not_locked" in text
    assert "1 rejected  (closer rejected list)" in text
    assert max(map(len, text.splitlines())) <= 80


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


def test_status_shows_workers_that_live_and_those_that_fell_silent(
    cli: Cli, store: redis.Redis, tmp_path: Path
) -> None:
    """A real worker is listed while it lives; one that has given no sign for long is not taken for alive."""
    for name, ago_s in (("gone:1", 60), ("gone:2", -1800)):  # the second before the store's clock was set back
        store.hset(key_of("workers"), name, json.dumps({"at": (store.time()[0] - ago_s) * 1000, "in_flight": 3}))
    with run_in_thread(Simulator()) as (url, _), Process(tmp_path, "worker", redis_url=cli.url, api_base_url=url):
        until(lambda: cli.json("status")["workers"], "a worker's sign of life")
        status = cli.json("status")
    assert [worker["name"] for worker in status["silent_workers"]] == ["gone:1", "gone:2"]
    [alive] = status["workers"]
    assert alive["age_s"] < 20
    assert "SILENT" in cli.text("status")


def test_status_names_what_no_worker_wrote(cli: Cli, store: redis.Redis) -> None:
    """A foreign field of the workers' hash is named, with the command that removes it; the workers are shown."""
    store.hset(key_of("workers"), "host:1", json.dumps({"at": store.time()[0] * 1000, "settled": 1234}))
    for name, said in (("monitoring", "up"), (b"\xff\n", b"\xfe"), ("a b", '{"at":1,"in_flight":"x"}')):
        store.hset(key_of("workers"), name, said)
    status = cli.json("status")
    assert [worker["name"] for worker in status["workers"]] == ["host:1"]
    assert status["unreadable_workers"] == ["\\xff\n", "a b", "monitoring"]
    text = cli.text("status")
    assert "1,234 settled" in text
    assert "monitoring: not written by a worker" in text
    assert f"HDEL {key_of('workers')} 'a b'" in text


def test_foreign_entries_of_the_streams_are_shown_or_passed_over(cli: Cli, store: redis.Redis) -> None:
    """Another program's entries keep neither the audit nor the rejected events from being read."""
    cli("pause", "--why", "test")
    announced: Any = store.xrevrange(key_of("audit"), count=1)
    of = announced[0][0]
    entries: list[dict[Any, Any]] = [
        {b"\xff": b"\xff"},
        {b"by": b"\xff", b"action": b"x", b"matched": b"many", b"skipped": b"[", b"changed": b"-1"},
        {b"of": of, b"changed": b"x", b"skipped": b'{"a":"b"}'},
        {b"of": b"\xff", b"changed": b"9" * 5000},
    ]
    for entry in entries:
        store.xadd(key_of("audit"), entry)
    assert {entry["action"] for entry in cli.lines("audit")} == {"pause", "x"}
    assert "pause" in cli.text("audit")
    for problems in (b"[", b"7", b"\xff", b"[" * 50_000, b'["event: x"]'):
        store.xadd(key_of("rejected"), {b"problems": problems, b"\xff": b"x"})
    store.xadd(key_of("rejected"), {"event": "x"}, id="18446744073709551615-1")
    assert len(cli.lines("rejected", "list")) == 6
    assert "event: x" in cli.text("rejected", "list")


def test_entries_of_an_earlier_release_are_shown(cli: Cli, store: redis.Redis) -> None:
    """They have the selection in words, and no door."""
    entry: dict[Any, Any] = {"by": "jo", "action": "requeue", "filter": "--reason gone", "matched": 3, "why": "w"}
    store.xadd(key_of("audit"), entry)
    [shown] = cli.lines("audit")
    assert (shown["filter"], shown["selection"], shown["door"]) == ("--reason gone", None, None)
    assert "jo: requeue --reason gone" in cli.text("audit")


def test_what_the_audit_shows_is_safe_in_a_shell(cli: Cli) -> None:
    """Blanks, quotes, `;`, `$` and `*` of a filter stand quoted; the JSON has them as they are."""
    cli.sow([Seed("sg_1", Reason.GONE, 410, "gone", "a;b $HOME *")])
    cli("requeue", "--source", "a;b $HOME *", "--why", "w")
    [entry] = cli.lines("audit")
    assert entry["filter"] == "--source 'a;b $HOME *'"
    assert entry["selection"] == {"filter": {"source": ["a;b $HOME *"]}}


@pytest.mark.parametrize("offset_s", [7200, -7200])
def test_only_the_stores_clock_counts(cli: Cli, store: redis.Redis, tmp_path: Path, offset_s: int) -> None:
    """Where the operator's own clock is two hours off, the same closures are chosen, and their ages are the same."""
    cli.sow([Seed("sg_new", Reason.GONE, 410, "gone"), Seed("sg_old", Reason.GONE, 410, "gone")])
    then_ms = (store.time()[0] - 5400) * 1000
    for index in ("failed", "failed:gone"):
        store.zadd(key_of(index), {"sg_old": then_ms})
    with planted(tmp_path / "clock", WRONG_CLOCK.format(offset_s=offset_s)):
        ages = cli("list", "--reason", "gone").stdout
        assert "1 h 30 min" in ages
        assert cli("list", "--until", "1h", "--json").stdout.count("sg_old") > 0
        done = cli("requeue", "--reason", "gone", "--since", "1h", "--why", "test", "--json")
    assert json.loads(done.stdout)["requeued"] == 1
    assert cli.json("show", "sg_new")["state"] == "queued"
    assert [entry["action"] for entry in cli.lines("audit", "--since", "10m")] == ["requeue"]


def test_status_watch_goes_on_until_it_is_interrupted(cli: Cli, tmp_path: Path) -> None:
    """In a pipe: one document after the other."""
    with Process(tmp_path, "status", "--watch", "--json", redis_url=cli.url) as watching:
        until(lambda: watching.output.count("oldest_open_age_s") > 1, "two documents")


def test_list_gives_one_object_a_line(cli: Cli) -> None:
    """The fields that the outside may rely on, newest first."""
    cli.sow(SEEDS)
    closures = cli.lines("list")
    assert {closure["reference"] for closure in closures} == {"sg_1", "sg_2", "sg_3"}
    [failed] = cli.lines("list", "--reason", "not_locked", "--source", "wms-a", "--since", "1h")
    assert failed["state"] == "failed"
    assert (failed["last_status"], failed["last_code"], failed["correlation_id"]) == (409, "conflict", "c-sg_1")
    assert failed["received_at"].endswith("Z")
    assert [closure["reference"] for closure in cli.lines("list", "--status-code", "410")] == ["sg_2"]
    assert cli.lines("list", "--state", "queued") == []


def test_list_pages_with_the_cursor_that_it_names(cli: Cli) -> None:
    """The hint goes to stderr; the last page gives none."""
    cli.sow(SEEDS)
    first = cli("list", "--limit", "2", "--oldest-first")
    cursor = first.stderr.split("--cursor ")[1].strip()
    rest = cli("list", "--limit", "2", "--oldest-first", "--cursor", cursor)
    assert first.stdout.count("sg_") + rest.stdout.count("sg_") == 3
    assert rest.stderr == ""
    cli("list", "--cursor", "nonsense", code=2)


def test_list_groups(cli: Cli) -> None:
    """Counts, the greatest first, with the oldest of each."""
    cli.sow([*SEEDS, Seed("sg_4", Reason.GONE, 410, "gone")])
    groups = cli.lines("list", "--state", "failed", "--group-by", "reason")
    assert [(group["reason"], group["count"]) for group in groups] == [("gone", 2), ("not_locked", 1)]
    assert groups[0]["oldest_reference"] == "sg_2"
    assert "gone" in cli.text("list", "--group-by", "code")


def test_show_tells_the_story_and_what_to_do(cli: Cli) -> None:
    """The event, the attempt, the operator, the meaning; the same for programs."""
    cli.sow(SEEDS)
    cli("requeue", "sg_2", "--why", "looked wrong")
    text = cli.text("show", "sg_1")
    for words in ("event received from wms-a, id e-sg_1", "HTTP 409 conflict", "correlation id c-sg_1",
                  "only a locked group can be closed", "closer requeue sg_1 --lock"):  # fmt: skip
        assert words in text
    assert "requeue by olga: looked wrong" in cli.text("show", "sg_2")
    story = cli.json("show", "sg_1")
    assert [attempt["status"] for attempt in story["history"]] == [409]
    [action] = cli.json("show", "sg_2")["actions"]
    assert (action["action"], action["by"], action["why"]) == ("requeue", "olga", "looked wrong")


def test_show_of_an_unknown_reference_says_so(cli: Cli) -> None:
    """Exit code 1: could not; a reference that can be none is wrong usage."""
    assert "no closure of sg_9 is known" in cli("show", "sg_9", code=1).stderr
    cli("show", "../etc", code=2)


def test_show_curl_leaves_the_key_out(cli: Cli) -> None:
    """The call can be pasted; the shell puts the key in."""
    text = cli.text("show", "sg_1", "--curl", api_base_url="http://127.0.0.1:9/pro")
    assert "curl -i -X POST 'http://127.0.0.1:9/pro/shipment_groups/sg_1/close'" in text
    assert "$CLOSER_API_KEY" in text
    assert API_KEY not in text


def test_nothing_from_outside_steers_the_terminal(cli: Cli, store: redis.Redis) -> None:
    """Escape sequences in a source, a gate's words or rejected bytes are shown, not obeyed."""
    cli.sow([Seed("sg_1", Reason.GONE, 410, "gone", "wms\x1b[31m\u202e")])
    store.xadd(
        key_of("rejected"), {"event": b'\x1b]0;x\x07\xff"', "problems": '["e\\u001b[2J: bad"]', "origin": "1\x1b"}
    )
    cli("pause", "--why", "a\x1b[5mb")
    [rejected] = cli.lines("rejected", "list")
    shown = [("list",), ("list", "--group-by", "source"), ("show", "sg_1"), ("status",), ("audit",)]
    shown += [("rejected", "list"), ("rejected", "show", rejected["id"])]
    for command in shown:
        text = cli.text(*command)
        assert all(char.isprintable() or char == "\n" for char in text), command
    assert "\\x1b]0;x\\x07\\xff" in cli.text("rejected", "show", rejected["id"])


@pytest.mark.parametrize("command", [["status"], ["list"], ["show", "sg_1"], ["audit"], ["requeue", "sg_1"], ["pause"]])
def test_without_a_store_the_address_is_told_and_what_to_set(command: list[str], tmp_path: Path) -> None:
    """Exit code 1, no traceback, and no password."""
    done = run(*command, redis_url="redis://user:secret@127.0.0.1:1/0")
    assert done.returncode == 1
    assert "redis://127.0.0.1:1/0" in done.stderr
    assert "CLOSER_REDIS_URL" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_without_any_store_the_embedded_one_is_named(tmp_path: Path) -> None:
    """Which socket, and the two ways on: start it, or name another."""
    done = run("list", data_dir=tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/store.sock" in done.stderr
    assert "closer up" in done.stderr
    assert "CLOSER_REDIS_URL" in done.stderr
