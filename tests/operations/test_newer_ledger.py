"""A ledger of a newer version: every command of this release refuses it by name, and changes nothing."""

from __future__ import annotations

import pytest
import redis

from tasks.ledger.version import LEDGER_VERSION
from tests.operations.conftest import Cli
from tests.support import STREAM, key_of

COMMANDS: list[tuple[str, ...]] = [
    ("status",),
    ("list",),
    ("show", "sg_1"),
    ("audit",),
    ("rejected", "list"),
    ("rejected", "show", "1-1"),
    ("rejected", "discard", "1-1", "--why", "x"),
    ("rejected", "replay", "1-1"),
    ("rejected", "replay", "--accept-type", "x.y"),
    ("publish", "sg_1"),
    ("requeue", "sg_1"),
    ("discard", "sg_1", "--why", "x"),
    ("pause", "--why", "x"),
    ("resume", "--why", "x"),
    ("verify", "sg_1"),
    ("ledger", "move-api", "--why", "x"),
    ("check",),
]


def content(store: redis.Redis) -> dict[bytes, bytes]:
    """All that the store holds."""
    keys = store.keys()
    assert isinstance(keys, list)
    return {key: store.dump(key) for key in keys}  # type: ignore[misc]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_refuses(cli: Cli, store: redis.Redis, command: tuple[str, ...]) -> None:
    """Each command that looks, writes events or changes the ledger ends with code 2 and tells both versions."""
    store.hset(key_of("gate"), "version", str(LEDGER_VERSION + 1))
    store.xadd(key_of("rejected"), {"event": "{}", "problems": "[]", "type": "x.y"}, id="1-1")
    before = content(store)
    done = cli(*command, code=2, operator="ann")
    assert f"has version {LEDGER_VERSION + 1}" in done.stderr
    assert content(store) == before
    assert not store.exists(STREAM)
