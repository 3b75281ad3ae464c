"""`closer show`, through the real console script."""

from __future__ import annotations

import json

import pytest
import redis

from tests.operations.conftest import Cli
from tests.operations.seed import SEEDS
from tests.support import API_KEY, key_of


def test_show_tells_the_story_and_what_to_do(cli: Cli) -> None:
    """It shows the event, the attempt, the operator's action and the meaning, to people and to programs."""
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


def test_show_tells_where_an_unfinished_closure_stands_in_time(cli: Cli, store: redis.Redis) -> None:
    """What is left to its deadline, and since when nobody has taken it; nothing of that when it has ended."""
    cli.sow(SEEDS)
    cli("requeue", "sg_2", "--why", "x")
    fresh = cli.json("show", "sg_2")
    assert 86_000 < fresh["deadline_in_s"] <= 86_400
    assert "Its deadline  in 23 h 59 min" in cli.text("show", "sg_2")
    assert "nobody has taken it" not in cli.text("show", "sg_2")
    store.zincrby(key_of("agenda"), -200_000, "sg_2")
    record = json.loads(store.get(key_of("c:sg_2")) or "")
    store.set(key_of("c:sg_2"), json.dumps(record | {"d": 1}))
    text = cli.text("show", "sg_2")
    assert "It has been due for 3 min" in text
    assert "nobody has taken it: closer status" in text
    assert "Its deadline  over" in text
    assert cli.json("show", "sg_2")["due_at"] < fresh["due_at"]
    ended = cli.json("show", "sg_1")
    assert (ended["due_at"], ended["deadline_in_s"]) == (None, None)
    assert "Its deadline" not in cli.text("show", "sg_1")


def test_show_of_an_unknown_reference_says_so(cli: Cli) -> None:
    """An unknown reference ends with code 1; something that cannot be a reference is wrong usage."""
    assert "no closure of sg_9 is known" in cli("show", "sg_9", code=1).stderr
    cli("show", "../etc", code=2)


def test_show_curl_leaves_the_key_out(cli: Cli) -> None:
    """The call can be pasted; the shell puts the key into it."""
    text = cli.text("show", "sg_1", "--curl", api_base_url="http://127.0.0.1:9/pro")
    assert "curl -i -X POST http://127.0.0.1:9/pro/shipment_groups/sg_1/close" in text
    assert "$CLOSER_API_KEY" in text
    assert API_KEY not in text


@pytest.mark.parametrize(
    ("ledgers", "shown"),
    [
        ("https://sorted.example/v2", "https://sorted.example/v2/shipment_groups/sg_1/close"),
        ("https://x.example/'; rm -rf ~ '", "'https://x.example/'\"'\"'; rm -rf ~ '\"'\"'/shipment_groups/sg_1/close'"),
        ("https://x.example/\x1b[2J", r"'https://x.example/\x1b[2J'"),
    ],
)
def test_show_curl_calls_the_api_that_the_ledger_is_for(cli: Cli, store: redis.Redis, ledgers: str, shown: str) -> None:
    """An operator's own CLOSER_API_BASE_URL may name another account; the store may hold what no worker wrote."""
    store.hset(key_of("policy"), "api", ledgers)
    text = cli.text("show", "sg_1", "--curl", api_base_url="https://mine.example/pro")
    assert "mine.example" not in text
    assert shown.removesuffix("'") in text
    assert "\x1b" not in text


def test_show_tells_of_several(cli: Cli) -> None:
    """Each story is one JSON object a line; those that are not known are named, with exit code 1."""
    cli.sow(SEEDS)
    done = cli("show", "sg_1", "sg_8", "sg_2", "sg_9", "--json", code=1)
    assert [json.loads(line)["reference"] for line in done.stdout.splitlines()] == ["sg_1", "sg_2"]
    assert "no closure of sg_8 is known" in done.stderr
    assert "no closure of sg_9 is known" in done.stderr
    text = cli.text("show", "sg_1", "sg_2")
    assert text.startswith("sg_1  ")
    assert "\n\nsg_2  " in text
    cli("show", code=2)
