"""What an older release does beside this one is told loudly by `closer status` and `closer check`."""

from __future__ import annotations

import json

import pytest
import redis

from tests.operations.conftest import Cli
from tests.support import key_of


def old_worker(store: redis.Redis, name: str = "host:17", ago_s: float = 1.0) -> None:
    """Leave a sign of life of a worker of an older release."""
    store.hset("closer:workers", name, json.dumps({"at": (store.time()[0] - ago_s) * 1000}))


def words(text: str) -> str:
    """The text without its line breaks."""
    return " ".join(text.split())


@pytest.fixture
def beside(cli: Cli, store: redis.Redis) -> Cli:
    """A fleet that has begun and is paused, and an older release's worker with a ledger of its own."""
    store.hset(key_of("policy"), mapping={"deadline_ms": 1, "pause_ms": 0, "stream": "s"})
    cli("pause", "--why", "upgrade")
    store.zadd("closer:agenda", {"sg_1": 1})
    old_worker(store)
    return cli


def test_status_of_a_store_without_an_older_release(cli: Cli) -> None:
    """The field is always there, and the text has no line."""
    assert cli.json("status")["older_release"] == {"ledger": "nothing", "workers": [], "keys": []}
    assert "older release" not in cli.text("status")


def test_status_names_an_old_worker(beside: Cli) -> None:
    """Where it runs, that a pause does not hold for it, and what to do; first of all lines, and 80 columns wide."""
    older = beside.json("status")["older_release"]
    assert (older["ledger"], older["keys"]) == ("beside", ["closer:agenda", "closer:workers"])
    [worker] = older["workers"]
    assert worker["name"] == "host:17"
    assert 0 < worker["age_s"] < 60
    text = beside.text("status")
    assert words(text).startswith("Now A worker of an older release is alive (process 17 on host)")
    assert "closes their groups also while this fleet is paused" in words(text)
    assert "stop it now where it runs, see that nothing starts it again" in words(text)
    assert max(map(len, text.splitlines())) <= 80


def test_check_names_an_old_worker(beside: Cli) -> None:
    """The same in `check`, which ends with exit code 1."""
    document = beside.json("check", code=1, api_base_url="http://127.0.0.1:1")
    [line] = [one for one in document["checks"] if one["name"] == "ledger" and "alive" in one["message"]]
    assert (line["finding"], "process 17 on host" in line["message"]) == ("wrong", True)
    assert line["remedy"].startswith("stop it now where it runs")


def test_what_an_older_release_calls_itself_steers_no_terminal(beside: Cli, store: redis.Redis) -> None:
    """Escape sequences in a worker's name are shown, not obeyed."""
    old_worker(store, "\x1b[31mred")
    assert all(char.isprintable() or char == "\n" for char in beside.text("status"))


def test_a_user_who_may_not_look_there(cli: Cli, store: redis.Redis) -> None:
    """A status without rights on the old keys is shown all the same; that field is null."""
    store.acl_setuser("narrow", enabled=True, passwords=["+pw"], channels=["*"], commands=["+@all"],
                      keys=["{closer}:*", "shipment-groups.complete"])  # fmt: skip
    try:
        url = cli.url.replace("redis://", "redis://narrow:pw@")
        assert json.loads(cli("status", "--json", redis_url=url).stdout)["older_release"] is None
    finally:
        store.acl_deluser("narrow")
