"""What holds for every command that looks: a terminal that nobody steers, and a store that is away."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from tasks.closure import Reason
from tests.console import called
from tests.operations.conftest import Cli
from tests.operations.seed import Seed
from tests.support import key_of


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
    """The exit code is 1, and neither a traceback nor a password is printed."""
    done = called(*command, redis_url="redis://user:secret@127.0.0.1:1/0")
    assert done.returncode == 1
    assert "redis://127.0.0.1:1/0" in done.stderr
    assert "CLOSER_REDIS_URL" in done.stderr
    assert "secret" not in done.stderr
    assert "Traceback" not in done.stderr


def test_without_any_store_the_embedded_one_is_named(tmp_path: Path) -> None:
    """The message names the socket and both remedies: start the embedded store, or name another one."""
    done = called("list", data_dir=tmp_path)
    assert done.returncode == 1
    assert f"{tmp_path}/store.sock" in done.stderr
    assert "closer up" in done.stderr
    assert "CLOSER_REDIS_URL" in done.stderr
