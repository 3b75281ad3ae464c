"""The ledger's keys that `closer check` looks at are those that its scripts use."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import redis

from tests.console import called
from tests.support import key_of, run
from worker.operations.ledger_keys import KINDS

LUA = Path(__file__).parents[2] / "tasks" / "ledger" / "lua"


def test_every_key_of_the_scripts_is_known() -> None:
    """A key that a script builds from the prefix is in the table of keys and kinds."""
    texts = [path.read_text("utf-8") for path in LUA.rglob("*.lua")]
    named = {name for text in texts for name in re.findall(r"P \.\. '([a-z_]+)'", text)}
    assert named <= set(KINDS)
    assert len(named) > 10


@pytest.mark.parametrize(
    "command", [("status",), ("list",), ("pause", "--why", "x"), ("requeue", "sg_1"), ("status", "--json")]
)
def test_commands_meet_a_broken_ledger(store_url: str, store: redis.Redis, command: tuple[str, ...]) -> None:
    """A command that needs a key that holds something else ends with 1, and says what to do about it."""
    for name in ("agenda", "queued", "gate"):
        store.set(key_of(name), "not ours")
    ended = called(*command, redis_url=store_url, operator="ann")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "a key of closer's holds something else" in ended.stderr
    assert "RENAME" in ended.stderr or "`closer check` names it" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_check_meets_a_broken_ledger(store_url: str, store: redis.Redis) -> None:
    """It names the key once, with its remedy, and ends with 1."""
    store.set(key_of("agenda"), "not ours")
    ended = run("check", redis_url=store_url)
    assert ended.returncode == 1
    assert (ended.stdout + ended.stderr).count(f"{key_of('agenda')} is a string") == 1
