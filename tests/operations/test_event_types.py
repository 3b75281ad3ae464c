"""The types of events: what waits for its type to be accepted is told by `status`, `check` and `publish`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from tests.operations.conftest import Cli
from tests.operations.test_replay import reject
from tests.support import API_KEY, STREAM, cloud_event, key_of
from worker.simulator.server import Simulator, run_in_thread

DISPATCHED = {"reference": "sg_1", "event": "trailer.dispatched"}


@pytest.fixture
def api_url() -> Iterator[str]:
    """An API that knows one key."""
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, _):
        yield url


def see(store: redis.Redis, *types: str) -> None:
    """Have these types come just now."""
    now: Any = store.time()
    store.zadd(key_of("seen_types"), dict.fromkeys(types, now[0] * 1000))


def started(cli: Cli, api_url: str, event_types: str) -> None:
    """A worker with this list has started."""

    async def work() -> None:
        async with Redis.from_url(cli.url) as real:
            await Ledger(real, api=api_url).policy.start(FleetPolicy(5000.0, 0.0, STREAM, event_types))

    asyncio.run(work())


def test_status_names_the_types_that_wait_and_what_to_do(cli: Cli, store: redis.Redis) -> None:
    """For at most three types it tells how many events wait, and the two commands that close their groups."""
    see(store, "group.complete", "trailer.dispatched")
    reject(cli, *[DISPATCHED] * 312, refused_type="trailer.dispatched")
    text = cli.text("status")
    assert "312 events of type trailer.dispatched: put aside, not closed" in text
    assert "if it means complete: CLOSER_EVENT_TYPES=group.complete,trailer.dispatched\n" in text
    assert "then: closer rejected replay --accept-type trailer.dispatched\n" in text
    assert max(map(len, text.splitlines())) <= 90
    for number in range(4):
        reject(cli, b"x", refused_type=f"x.y{number}")
    text = cli.text("status")
    assert text.count("put aside, not closed") == 3
    assert "and 2 more types: closer check" in text


def test_a_list_that_is_set_is_kept_in_what_is_advised(cli: Cli, store: redis.Redis) -> None:
    """The advised setting adds to the list, so what is accepted now stays accepted."""
    see(store, "group.complete")
    reject(cli, DISPATCHED, refused_type="trailer.dispatched")
    text = cli.text("status", event_types="a.done,b*")
    assert "CLOSER_EVENT_TYPES='a.done,b*,trailer.dispatched'" in text


def test_the_fleets_list_counts_not_that_of_the_operators_machine(cli: Cli, store: redis.Redis, api_url: str) -> None:
    """Advice, check, replay and publish go by what the workers accept, not by the operator's settings."""
    started(cli, api_url, "cage.done")
    see(store, "order.complete", "cage.done")
    [rejected_id] = reject(cli, {"reference": "sg_1", "event": "order.complete"}, refused_type="order.complete")
    assert "CLOSER_EVENT_TYPES=cage.done,order.complete\n" in cli.text("status")
    checks = cli.json("check", api_base_url=api_url)["checks"]
    seen, waits = (line for line in checks if line["name"] == "events")
    assert "cage.done (accepted), order.complete (not accepted)" in seen["message"]
    assert waits["message"] == "1 event of type order.complete is put aside, and not closed"
    assert "CLOSER_EVENT_TYPES=cage.done,order.complete " in waits["remedy"]
    cli("rejected", "replay", rejected_id, code=1)
    cli("publish", "-", stdin=cloud_event("sg_2", type="order.complete"), code=2)
    cli("publish", "-", stdin=cloud_event("sg_2", type="cage.done"))
    assert store.exists(key_of("queued")) == 0


def test_what_another_program_writes_into_the_counts_is_left_out(cli: Cli, store: redis.Redis) -> None:
    """Neither a count that is not a number nor a name that is not text ends `status`."""
    reject(cli, DISPATCHED, refused_type="trailer.dispatched")
    store.hset(key_of("waiting_types"), mapping={"x": "many", b"\xff": "1", "y": "-3"})
    scores: dict[Any, Any] = {"later": float("inf"), b"\xff": 5}
    store.zadd(key_of("seen_types"), scores)
    waiting = cli.json("status")["waiting_types"]
    assert waiting == {"trailer.dispatched": 1, "\\xff": 1}
    store.delete(key_of("rejected"))
    assert cli.json("status")["waiting_types"] == {}


def test_check_lists_the_types_of_a_day(cli: Cli, store: redis.Redis, api_url: str) -> None:
    """It shows which types are accepted and what to do about those that wait; none of it makes the set-up wrong."""
    see(store, "group.complete", "trailer.dispatched", "order.cancelled")
    reject(cli, DISPATCHED, DISPATCHED, refused_type="trailer.dispatched")
    lines = [line for line in cli.json("check", api_base_url=api_url)["checks"] if line["name"] == "events"]
    assert [line["finding"] for line in lines] == ["ok", "warning"]
    assert "group.complete (accepted), order.cancelled (not accepted), trailer.dispatched (not" in lines[0]["message"]
    assert lines[1]["message"] == "2 events of type trailer.dispatched are put aside, and not closed"
    assert "CLOSER_EVENT_TYPES=group.complete,trailer.dispatched" in lines[1]["remedy"]
    assert "closer rejected replay --accept-type trailer.dispatched" in lines[1]["remedy"]
    accepted = cli.json("check", api_base_url=api_url, event_types="trailer.*")["checks"]
    assert "accepted by now" in next(line["remedy"] for line in accepted if line["finding"] == "warning")
    text = cli.text("status", event_types="trailer.*")
    assert "the type is accepted by now: closer rejected replay --accept-type trailer.dispatched\n" in text
    assert "CLOSER_EVENT_TYPES" not in text


def test_check_shows_a_few_types_and_sums_up_the_others(cli: Cli, api_url: str) -> None:
    """Five types are shown and the others are summed up, however many somebody makes up."""
    for number in range(7):
        reject(cli, b"x", b"y", refused_type=f"x.y{number}")
    lines = [line for line in cli.json("check", api_base_url=api_url)["checks"] if line["name"] == "events"]
    assert len(lines) == 6
    assert lines[-1]["message"] == "4 events of further types are put aside, and not closed"


def test_more_types_than_are_counted_one_by_one_are_summed_up(cli: Cli, store: redis.Redis, api_url: str) -> None:
    """The sum stays right when they are discarded, in whatever order."""
    ids = [rejected_id for n in range(103) for rejected_id in reject(cli, b"x", refused_type=f"t{n}")]
    assert store.hlen(key_of("waiting_types")) == 101
    assert store.hget(key_of("waiting_types"), "") == b"3"
    assert sum(cli.json("status")["waiting_types"].values()) == 100
    cli("rejected", "discard", *ids[:2], *ids[-2:], "--why", "test")
    assert store.hget(key_of("waiting_types"), "") == b"1"
    assert store.hlen(key_of("waiting_types")) == 99
    cli("rejected", "discard", *ids[2:-2], "--why", "test")
    assert store.exists(key_of("waiting_types")) == 0


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (cloud_event("sg_1", type="order.cancelled"), "order.cancelled"),
        ('{"reference": "sg_1", "event": "order.cancelled"}', "order.cancelled"),
        (f"[{cloud_event('sg_1')}, {cloud_event('sg_2', type='order.cancelled')}]", "order.cancelled"),
        (cloud_event("", subject="sg_1", data={"group": "sg_2"}), "the field group"),
        ("[]", "an array without any event"),
    ],
)
def test_publish_sends_nothing_that_would_be_rejected(cli: Cli, store: redis.Redis, line: str, words: str) -> None:
    """It says so before the first event is sent, and names the variable if the type is the problem."""
    done = cli("publish", "-", code=2, stdin=f"sg_0\n{line}\n")
    assert "line 2: " in done.stderr
    assert words in done.stderr
    assert ("CLOSER_EVENT_TYPES" in done.stderr) == (words == "order.cancelled")
    assert store.xlen(STREAM) == 0


def test_publish_sends_what_is_accepted(cli: Cli, store: redis.Redis) -> None:
    """It sends references whatever the list says, events whose type is on the list, and arrays as one batch."""
    lines = ["sg_1", cloud_event("sg_2", type="trailer.dispatched"), '[{"reference": "sg_3"}, {"reference": "sg_4"}]']
    cli("publish", "-", stdin="\n".join(lines), event_types="trailer.dispatched")
    entries: Any = store.xrange(STREAM)
    sent = [json.loads(fields[b"event"]) for _, fields in entries]
    assert [event["type"] for event in sent[:2]] == ["closer.group.complete", "trailer.dispatched"]
    assert len(sent[2]) == 2
