"""`closer check`: what is wrong comes with its remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tasks.api.reply import Body, Failure, NoReply, Reply
from tasks.api_health import ApiHealth
from tasks.closure import Reason, State
from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.values import Settlement
from tests.end_to_end.standin import Say, Script, StandIn, running
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.support import API_KEY, STREAM, key_of, run, url_of, valkey
from worker.operations.check_api import NOBODY, judge
from worker.operations.finding import Finding
from worker.simulator.server import Simulator, run_in_thread


@pytest.fixture
def api_url() -> Iterator[str]:
    """An API that knows one key."""
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, _):
        yield url


def findings(document: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    """The finding of each thing that was looked at; the gravest where there are more."""
    order = ["ok", "warning", "wrong"]
    found: dict[str, str] = {}
    for line in document["checks"]:
        found[line["name"]] = max(found.get(line["name"], "ok"), line["finding"], key=order.index)
    return found


def test_a_good_set_up(cli: Cli, api_url: str) -> None:
    """Everything is ok, and the exit code says so; the key is not shown."""
    done = cli.process("check", api_base_url=api_url)
    assert done.stdout.count("ok:") == 5
    assert API_KEY not in done.stdout
    document = cli.json("check", api_base_url=api_url)
    assert document["ok"] is True
    assert findings(document) == dict.fromkeys(["configuration", "open files", "store", "broker", "api"], "ok")


def test_a_paused_fleet_is_told_and_nothing_is_closed(cli: Cli) -> None:
    """The check asks the API for one group that cannot exist, closes nothing, and says why no group is closed."""
    cli.sow([Seed("sg_1", Reason.GONE, 410)])
    cli("requeue", "sg_1")
    cli("pause", "--why", "until four", "--by", "jane")
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, simulator):
        document = cli.json("check", api_base_url=url)
        calls = simulator.groups.summary()["calls"]
    assert calls == {"get": {"200": 1}}
    assert findings(document)["gate"] == "warning"
    [line] = [line for line in document["checks"] if line["name"] == "gate"]
    assert "the fleet is paused by jane" in line["message"]
    assert "until four" in line["message"]
    assert line["remedy"].endswith("closer resume --why '…'")
    assert cli.json("status")["gate"]["reason"] == "paused"


@pytest.mark.parametrize(("ledgers", "shut"), [("ours", True), ("another's", False)])
def test_a_429_to_the_check_holds_the_fleet(cli: Cli, ledgers: str, shut: bool) -> None:
    """What the API asks by Retry-After counts for the workers, too, if it is the API that they call."""
    busy = Script((), (Say(429, '{"code": "slow_down"}', {"Retry-After": "600"}),))
    with running(StandIn({}, default=busy)) as url:
        address = url if ledgers == "ours" else "https://api.example/pro"
        at_ledger(cli.url, lambda ledger: Ledger(ledger.redis, api=address).policy.hold_api())
        found = cli.json("check", api_base_url=url, code=0 if shut else 1)
    assert findings(found)["api"] == "warning"
    assert cli.json("status")["gate"]["reason"] == ("throttled" if shut else None)


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_an_api_that_is_ill_fails_the_check(cli: Cli, status: int) -> None:
    """A worker would close nothing, so the exit code is 1."""
    with running(StandIn({}, default=Script((), (Say(status, "{}"),)))) as url:
        found = cli.json("check", api_base_url=url, code=1)
    [line] = [line for line in found["checks"] if line["name"] == "api"]
    assert line["finding"] == "wrong"
    assert f"a worker closes nothing now (HTTP {status})" in line["message"]


def test_a_gate_that_is_shut_is_told(cli: Cli, api_url: str) -> None:
    """While the gate is shut nothing is closed, so `check` warns, and names the command that says more."""

    async def refuse_the_key(ledger: Ledger) -> None:
        await ledger.settle([Settlement("x", 1, State.QUEUED, health=ApiHealth.UNAUTHORISED)])

    at_ledger(cli.url, refuse_the_key)
    cli("pause", "--why", "Sorted maintains")
    document = cli.json("check", api_base_url=api_url)
    paused, refused = [line for line in document["checks"] if line["name"] == "gate"]
    assert (paused["finding"], "paused by olga" in paused["message"]) == ("warning", True)
    assert (refused["finding"], "unauthorised" in refused["message"]) == ("warning", True)
    assert refused["remedy"].endswith("closer status")


def test_everything_that_is_wrong_is_told_at_once(tmp_path: Path, api_url: str) -> None:
    """A misspelt variable, no store, no broker, a wrong key: four lines, each with its remedy, and no password."""
    done = run(
        "check", "--json", redis_url="redis://u:pa55@127.0.0.1:1/0", broker_url="amqp://u:pa55@127.0.0.1:1//",
        api_base_url=api_url, api_key="wrong", concurency=3,
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    document = json.loads(done.stdout)
    assert findings(document) == dict.fromkeys(["configuration", "store", "broker", "api"], "wrong") | {
        "open files": "ok"
    }
    assert all(line["remedy"] for line in document["checks"] if line["finding"] != "ok")
    assert "CLOSER_CONCURENCY" in done.stdout
    assert "pa55" not in done.stdout + done.stderr


def test_a_proxy_that_cannot_be_used(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong proxy is a finding: the line says what to set, and shows no password."""
    monkeypatch.setenv("HTTPS_PROXY", "socks5://u:pa55@proxy.corp:1080")
    done = cli.process("check", "--json", code=1, api_base_url="https://api.invalid/pro")
    [line] = [line for line in json.loads(done.stdout)["checks"] if line["name"] == "api"]
    assert line["finding"] == "wrong"
    assert "HTTPS_PROXY" in line["message"]
    assert "pa55" not in done.stdout + done.stderr


def test_a_store_that_may_forget_is_warned_about(tmp_path: Path, api_url: str) -> None:
    """Without an append-only file, or with eviction, there is a warning with its remedy; the exit code stays 0."""
    with valkey(tmp_path) as server, redis.Redis.from_url(url_of(server)) as store:
        store.config_set("appendonly", "no")
        store.config_set("maxmemory-policy", "allkeys-lru")
        done = run("check", redis_url=url_of(server), api_base_url=api_url)
    assert done.returncode == 0
    assert "append-only file is off" in done.stdout
    assert "CONFIG SET maxmemory-policy noeviction" in done.stdout


def test_a_group_that_nobody_reads_with_is_named(cli: Cli, store: redis.Redis, api_url: str) -> None:
    """A consumer group that keeps events in the store is named, with the command that removes it."""
    old_ms = (int(store.time()[0]) - 300) * 1000
    for group in ("closer", "billing", "by hand", "reads"):
        store.xgroup_create(STREAM, group, id="0", mkstream=True)
    for number in range(3):
        store.xadd(STREAM, {"event": "x"}, id=f"{old_ms}-{number + 1}")
    store.xreadgroup("by hand", "one", {STREAM: ">"}, count=1)
    assert "billing" not in cli.text("check", api_base_url=api_url), "ours has not read either"
    for group in ("closer", "reads"):
        store.xreadgroup(group, "one", {STREAM: ">"})
        store.xack(STREAM, group, *(f"{old_ms}-{number + 1}" for number in range(3)))
    document = cli.json("check", api_base_url=api_url)
    assert document["ok"] is True
    lines = [line for line in document["checks"] if line["name"] == "events"]
    assert ["billing" in line["message"] for line in lines] == [True, False]
    assert all("has not read 3 events, the oldest for 30" in line["message"] for line in lines)
    assert f"XGROUP DESTROY {STREAM} billing" in lines[0]["remedy"]
    assert f"XGROUP DESTROY {STREAM} 'by hand'" in lines[1]["remedy"]


@pytest.mark.parametrize(("begun", "finding", "words"), [
    (False, "warning", "a worker of this release moves it when it starts"),
    (True, "wrong", "stop every worker of the older release"),
])  # fmt: skip
def test_a_ledger_of_an_older_release(
    cli: Cli, store: redis.Redis, api_url: str, begun: bool, finding: str, words: str
) -> None:
    """One that waits to be moved is a warning; one beside a ledger that is in use is wrong, with what to do now."""
    store.zadd("closer:agenda", {"sg_1": 1})
    if begun:
        at_ledger(cli.url, lambda ledger: Ledger(ledger.redis, api=api_url).policy.start(FleetPolicy(60, 0, STREAM)))
    checks = cli.json("check", api_base_url=api_url, code=int(begun))["checks"]
    [line] = [one for one in checks if one["name"] == "ledger"]
    assert line["finding"] == finding
    assert words in line["remedy"]


def test_a_key_of_another_kind_is_named(cli: Cli, store: redis.Redis, api_url: str) -> None:
    """Each of the ledger's keys that another program has made is named, with the command that renames it."""
    store.set(key_of("agenda"), "x")
    store.rpush(key_of("workers"), "x")
    document = cli.json("check", api_base_url=api_url, code=1)
    wrong = [line for line in document["checks"] if line["name"] == "ledger"]
    assert [line["message"] for line in wrong] == [
        f"{key_of('agenda')} is a string; closer needs a zset",
        f"{key_of('workers')} is a list; closer needs a hash",
    ]
    assert f"RENAME {key_of('agenda')} {key_of('agenda.foreign')}" in wrong[0]["remedy"]


def test_a_store_that_does_not_tell_is_no_error(cli: Cli, store: redis.Redis, api_url: str) -> None:
    """Where the store forbids INFO and CONFIG, nothing is reported as wrong, and the rest is checked."""
    store.acl_setuser("modest", enabled=True, passwords=["+pw"], keys=["*"], channels=["*"],
                      commands=["+@all", "-info", "-config"])  # fmt: skip
    try:
        url = cli.url.replace("redis://", "redis://modest:pw@")
        document = json.loads(cli.process("check", "--json", api_base_url=api_url, redis_url=url).stdout)
    finally:
        store.acl_deluser("modest")
    assert findings(document)["store"] == "warning"
    assert "ACL SETUSER modest +info; " in next(line["remedy"] for line in document["checks"] if line["remedy"])


def test_a_wrong_configuration_is_exit_code_2(cli: Cli) -> None:
    """The exit code is that of every command; with --json a document is printed all the same."""
    done = cli.process("check", "--json", code=2, lease=1)
    assert json.loads(done.stdout)["ok"] is False
    assert "CLOSER_LEASE" in done.stderr


@pytest.mark.parametrize(
    ("reply", "finding"),
    [
        (Reply(404, Body(code="not_found")), Finding.OK),
        (Reply(404), Finding.WRONG),
        (Reply(200, Body(reference=NOBODY)), Finding.OK),
        (Reply(200, Body(reference="sg_1")), Finding.WRONG),
        (Reply(200, Body(state="CLOSED")), Finding.WRONG),
        (Reply(200, Body()), Finding.WRONG),
        (Reply(401), Finding.WRONG),
        (Reply(403), Finding.WRONG),
        (Reply(400, Body(code="invalid")), Finding.WARNING),
        (Reply(400), Finding.WRONG),
        (Reply(429), Finding.WARNING),
        (Reply(429, retry_after_s=60.0), Finding.WARNING),
        (Reply(503, retry_after_s=60.0), Finding.WARNING),
        (Reply(503), Finding.WRONG),
        (Reply(500, Body(code="x")), Finding.WRONG),
        (Reply(502, retry_after_s=60.0), Finding.WRONG),
        (Reply(599), Finding.WRONG),
        (Reply(302), Finding.WRONG),
        (NoReply(Failure.CONNECT), Finding.WRONG),
        (NoReply(Failure.OWN), Finding.WRONG),
    ],
)
def test_what_a_reply_says_about_address_and_key(reply: Reply | NoReply, finding: Finding) -> None:
    """A 404 in JSON comes from the API itself, which has accepted the key; a page, or another's JSON, does not."""
    assert judge("https://api", reply).finding is finding
    assert (judge("https://api", reply).remedy is None) == (finding is Finding.OK)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(shell: str) -> None:
    """A script is printed for each shell that click knows."""
    done = run("completion", shell)
    assert done.returncode == 0
    assert "_CLOSER_COMPLETE" in done.stdout


def test_commands_and_values_are_completed() -> None:
    """The shell's question is answered with the commands and values that fit."""
    asked = {"_CLOSER_COMPLETE": "bash_complete", "COMP_WORDS": "closer list --reason not_l", "COMP_CWORD": "3"}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in asked.items():
            patch.setenv(name, value)
        done = run()
    assert "not_locked" in done.stdout
