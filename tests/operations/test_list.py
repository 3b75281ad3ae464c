"""`closer list`, through the real console script."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from tasks.closure import Reason
from tests.faults.inside import planted
from tests.operations.conftest import Cli
from tests.operations.seed import SEEDS, Seed
from tests.support import key_of


def test_list_gives_one_object_a_line(cli: Cli) -> None:
    """Each object has the fields that other programs rely on; the newest closure comes first."""
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
    """Counts are printed, the greatest first, each with its oldest closure."""
    cli.sow([*SEEDS, Seed("sg_4", Reason.GONE, 410, "gone")])
    groups = cli.lines("list", "--state", "failed", "--group-by", "reason")
    assert [(group["reason"], group["count"]) for group in groups] == [("gone", 2), ("not_locked", 1)]
    assert groups[0]["oldest_reference"] == "sg_2"
    assert "gone" in cli.text("list", "--group-by", "code")


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


@pytest.mark.parametrize("offset_s", [7200, -7200])
def test_only_the_stores_clock_counts(cli: Cli, store: redis.Redis, tmp_path: Path, offset_s: int) -> None:
    """If the operator's clock is two hours off, the same closures are chosen, and their ages are the same."""
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
