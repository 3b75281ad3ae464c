"""`closer rejected list --groups`, `discard` and `export`, as an operator types them."""

from __future__ import annotations

import base64
import json
import os
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.operations.conftest import Cli
from tests.operations.test_replay import reject
from tests.support import CLOSER, environment, key_of

NOT_JSON = "event: not JSON: Expecting value at character 0"


def kept(store: redis.Redis) -> int:
    """How many rejected events are kept."""
    number: Any = store.xlen(key_of("rejected"))
    return int(number)


def test_groups_are_shown(cli: Cli, store: redis.Redis) -> None:
    """People see what is wrong, how many are kept and how often they came; programs get one object a line."""
    assert "No event was rejected" in cli("rejected", "list", "--groups").stderr
    reject(cli, *[b"x"] * 3, b"y", problems=(NOT_JSON,))
    reject(cli, {"reference": "sg_1"}, refused_type="order.created", problems=('type: "order.created" is not',))
    first, second = cli.lines("rejected", "list", "--groups")
    assert (first["problem"], first["type"], first["rejected"], first["count"]) == (NOT_JSON, None, 2, 4)
    assert second["type"] == "order.created"
    text = cli.text("rejected", "list", "--groups")
    assert NOT_JSON in text
    assert "order.created" in text
    assert len(cli.lines("rejected", "list", "--groups", "--limit", "1")) == 1


def test_the_list_tells_how_often_each_came(cli: Cli, store: redis.Redis) -> None:
    """And when last, and that there are more than are shown."""
    [rejected_id, *_] = reject(cli, b"x", b"x", b"x", b"y", problems=(NOT_JSON,))
    *_, one = cli.lines("rejected", "list")
    assert (one["id"], one["count"], one["at"] <= one["last_at"]) == (rejected_id, 3, True)
    assert "came 3 times, last at" in cli.text("rejected", "show", rejected_id)
    done = cli("rejected", "list", "--limit", "1")
    assert "There are more than 1. To count them by what is wrong: closer rejected list --groups" in done.stderr
    assert "There are more" not in cli("rejected", "list", "--limit", "2").stderr


def test_many_are_discarded_by_what_is_wrong(cli: Cli, store: redis.Redis) -> None:
    """A dry run tells how many; the audit has the choice as options that can be pasted."""
    reject(cli, *[b"%d" % number for number in range(30)], b"7", problems=(NOT_JSON,))
    reject(cli, b"z", refused_type="x y", problems=("type: z",))
    told = cli.json("rejected", "discard", "--problem", NOT_JSON, "--why", "w", "--dry-run")
    assert told == {"matched": 30, "exported": 0, "discarded": 0, "dry_run": True, "count": 31}
    text = cli.text("rejected", "discard", "--problem", NOT_JSON, "--why", "w", "--dry-run")
    assert "30 rejected events would be chosen (such events came 31 times)." in text
    assert kept(store) == 31
    assert cli.json("rejected", "discard", "--problem", NOT_JSON, "--why", "w")["discarded"] == 30
    assert "Discarded 1 rejected event." in cli("rejected", "discard", "--type", "x y", "--why", "w").stdout
    assert kept(store) == 0
    assert [entry["filter"] for entry in cli.lines("audit")] == [f"--problem '{NOT_JSON}'", "--type 'x y'"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("discard", "--why", "w"), "--problem"),
        (("discard", "--problem", "", "--why", "w"), "--problem"),
        (("discard", "--type", "x"), "--why TEXT"),
        (("discard", "1-1", "--type", "x", "--why", "w"), "not both"),
        (("discard", "--until", "soon", "--why", "w"), "is not a time"),
        (("export", "--discard", "--why", "w"), "--problem"),
        (("export", "--discard", "--type", "x"), "--why TEXT"),
        (("export", "--json"), "--file PATH"),
    ],
)
def test_what_is_refused(cli: Cli, store: redis.Redis, arguments: tuple[str, ...], words: str) -> None:
    """Everything at once, a discard without a reason, and choices that contradict: exit code 2, nothing is changed."""
    reject(cli, b"x", refused_type="x")
    assert words in cli("rejected", *arguments, code=2).stderr
    assert kept(store) == 1
    assert cli.lines("audit") == []


def test_all_are_exported(cli: Cli, store: redis.Redis) -> None:
    """To stdout by default, a line each, with the exact bytes, and nothing is deleted."""
    reject(cli, b"\xff\x00", b"y")
    done = cli.process("rejected", "export")
    assert [base64.b64decode(json.loads(line)["base64"]) for line in done.stdout.splitlines()] == [b"\xff\x00", b"y"]
    assert "Exported 2." in done.stderr
    assert kept(store) == 2
    assert "Nothing matches" in cli.process("rejected", "export", "--type", "x").stderr


def test_an_export_that_discards(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """A new file that only its user can read has every line; then the events are gone, and the audit says so."""
    reject(cli, *[b"%d" % number for number in range(250)])
    path = tmp_path / "old.jsonl"
    told = cli.json("rejected", "export", "--until", "0s", "--file", str(path), "--discard", "--why", "w")
    assert told == {"matched": 250, "exported": 250, "discarded": 250, "dry_run": False}
    assert len(path.read_text().splitlines()) == 250
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert kept(store) == 0
    [entry] = cli.lines("audit")
    assert (entry["action"], entry["changed"], entry["selection"]["exported"]) == ("discard rejected", 250, True)


def test_an_earlier_export_is_not_written_over(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """A file that is there already is refused, and nothing is deleted."""
    reject(cli, b"x")
    path = tmp_path / "old.jsonl"
    path.write_text("an earlier export")
    for file, code, words in ((path, 2, "is there already"), (tmp_path / "no" / "file", 1, "could not be written")):
        done = cli("rejected", "export", "--file", str(file), "--until", "0s", "--discard", "--why", "w", code=code)
        assert words in done.stderr
    assert path.read_text() == "an earlier export"
    assert kept(store) == 1


def full_disk() -> int:
    """A descriptor of a device that has no space left."""
    return os.open("/dev/full", os.O_WRONLY)


def unread_pipe() -> int:
    """A descriptor of a pipe whose reader has gone."""
    reader, writer = os.pipe()
    os.close(reader)
    return writer


@pytest.mark.parametrize(
    ("stdout", "why"),
    [(full_disk, "No space left on device"), (unread_pipe, "Broken pipe")],
    ids=["full disk", "unread pipe"],
)
def test_what_cannot_be_written_is_not_lost(cli: Cli, store: redis.Redis, stdout: Callable[[], int], why: str) -> None:
    """It stays in the ledger; the message says so, and what to do."""
    reject(cli, b"x")
    descriptor = stdout()
    done = subprocess.run(
        [*CLOSER, "rejected", "export", "--until", "0s", "--discard", "--why", "w"],
        env=environment(redis_url=cli.url, operator="ann"), stdout=descriptor, stderr=subprocess.PIPE, text=True,
        timeout=60, check=False,
    )  # fmt: skip
    os.close(descriptor)
    assert done.returncode == 1
    assert f"stdout could not be written ({why})" in done.stderr
    assert "Traceback" not in done.stderr
    assert kept(store) == 1
