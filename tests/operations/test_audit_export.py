"""The audit is shortened only by an export that removes what it has written, and that is audited itself."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.operations.conftest import Cli
from tests.support import CLOSER, environment, key_of
from worker.operations.audit_export import choose
from worker.operations.context import OperatorContext
from worker.operations.moment import Moment
from worker.operations.operator import Operator, Role, Verb
from worker.operations.refusal import Refused, Rule
from worker.settings import load

OLD = "1700000000000"


def act(store: redis.Redis, at: str, number: int = 1) -> None:
    """So many actions that were announced then, each with a result."""
    for count in range(number):
        announced: dict[Any, Any] = {"by": "jo", "action": "requeue", "selection": "null", "matched": 2, "why": "w"}
        entry_id = f"{at}-{2 * count}"
        store.xadd(key_of("audit"), announced, id=entry_id)
        store.xadd(key_of("audit"), {"of": entry_id, "changed": 2, "skipped": "{}"}, id=f"{at}-{2 * count + 1}")


def actions(cli: Cli) -> list[str]:
    """What is in the audit."""
    return [entry["action"] for entry in cli.lines("audit", "--limit", "10000")]


def test_an_export_keeps_everything(cli: Cli, store: redis.Redis) -> None:
    """It has the same lines as `audit --json`, the newest first; what closer did not write has its fields."""
    store.xadd(key_of("audit"), {b"\xff": b"x"}, id="1-1")
    act(store, OLD, 3)
    done = cli.process("audit", "export")
    *exported, foreign = [json.loads(line) for line in done.stdout.splitlines()]
    assert exported == cli.lines("audit")[::-1]
    assert (foreign["id"], json.loads(foreign["unreadable"])) == ("1-1", {"\\xff": "x"})
    assert "Exported 4 entries." in done.stderr
    assert len(actions(cli)) == 3
    assert len(cli.process("audit", "export", "--until", "2020-01-01").stdout.splitlines()) == 1


def test_the_audit_is_shortened(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """Entries up to the time go with all that they came to; later ones stay, and the removal is an entry itself."""
    act(store, OLD, 450)
    act(store, str(int(time.time() * 1000) - 3_600_000))
    path = tmp_path / "audit.jsonl"
    shorten = ("audit", "export", "--until", "2d", "--remove", "--why", "archived")
    assert cli.json(*shorten, "--dry-run") == {"matched": 450, "exported": 0, "removed": 0, "dry_run": True}
    assert "450 entries would be written." in cli.text(*shorten, "--dry-run")
    told = cli.json(*shorten, "--file", str(path))
    assert told == {"matched": 450, "exported": 450, "removed": 450, "dry_run": False}
    assert {json.loads(line)["changed"] for line in path.read_text().splitlines()} == {2}
    kept, entry = sorted(cli.lines("audit"), key=lambda one: one["by"])
    assert (kept["action"], kept["changed"]) == ("requeue", 2)
    assert (entry["action"], entry["by"], entry["why"]) == ("shorten audit", "olga", "archived")
    assert (entry["matched"], entry["changed"], entry["skipped"]) == (450, 450, {})
    assert entry["filter"].startswith("--until ")
    assert store.xlen(key_of("audit")) == 2 + 1 + 3
    [ended] = [one["fields"] for one in cli.json("status")["notices"] if one["kind"] == "action_ended"]
    assert (ended["action"], ended["changed"], ended["stopped"]) == ("shorten audit", 450, False)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--remove", "--why", "w"), "--until TIME"),
        (("--remove", "--until", "2d"), "--why TEXT"),
        (("--remove", "--until", "23h", "--why", "w"), "within the last day"),
        (("--remove", "--until", "2099-01-01", "--why", "w"), "within the last day"),
        (("--json",), "--file PATH"),
    ],
)
def test_what_is_refused(cli: Cli, store: redis.Redis, arguments: tuple[str, ...], words: str) -> None:
    """Without a time and a reason nothing is removed, and nothing of an action that may still go on."""
    act(store, OLD)
    assert words in cli("audit", "export", *arguments, code=2).stderr
    assert actions(cli) == ["requeue"]


@pytest.mark.parametrize(
    ("role", "until", "rule"),
    [
        (Role.OPERATOR, Moment("2d"), Rule.NOT_PERMITTED),
        (Role.ADMIN, None, Rule.TOO_RECENT),
        (Role.ADMIN, Moment("1h"), Rule.TOO_RECENT),
    ],
)
async def test_every_front_end_is_refused(any_store: Any, role: Role, until: Moment | None, rule: Rule) -> None:
    """The rules are the operation's own."""
    context = OperatorContext.of(Operator("anna", role, "test"), load(), any_store)
    with pytest.raises(Refused) as raised:
        await choose(context, Verb.SHORTEN_AUDIT, until, "w")
    assert raised.value.rule is rule


def test_nothing_to_remove_is_not_an_action(cli: Cli, store: redis.Redis) -> None:
    """Then no entry is made."""
    done = cli.process("audit", "export", "--until", "2d", "--remove", "--why", "w")
    assert "Exported 0 entries. Removed 0." in done.stderr
    assert actions(cli) == []


def test_a_full_disk_loses_nothing(cli: Cli, store: redis.Redis) -> None:
    """What could not be written stays in the audit, and the attempt is in it, too."""
    act(store, OLD, 3)
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [*CLOSER, "audit", "export", "--until", "2d", "--remove", "--why", "w"],
            env=environment(redis_url=cli.url, operator="ann"), stdout=full, stderr=subprocess.PIPE, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "stdout could not be written (No space left on device)" in done.stderr
    assert actions(cli) == ["requeue"] * 3 + ["shorten audit"]


def test_the_audit_still_takes_its_options(cli: Cli, store: redis.Redis) -> None:
    """`closer audit` with options shows entries as before, and a command that it does not have is wrong usage."""
    act(store, OLD)
    assert [entry["by"] for entry in cli.lines("audit", "--by", "jo", "--limit", "1")] == ["jo"]
    assert cli.lines("audit", "--by", "nobody") == []
    cli("audit", "shorten", code=2)
