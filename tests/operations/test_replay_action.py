"""`closer rejected replay` as a stored action: chosen by conditions, detached, stopped, resumed, repeated."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.ledger.bulk_action import BulkAction
from tasks.ledger.ledger import Ledger
from tests.operations.conftest import Cli
from tests.operations.test_replay import HEAD, queued, reject
from tests.support import key_of
from worker.operations.replay_step import Replayer
from worker.settings import load


def event(number: int, source: str = "/w", **more: Any) -> dict[str, Any]:
    """An event that could be received now."""
    return HEAD | {"id": str(number), "source": source, "data": {"reference": f"sg_{number}"}} | more


@pytest.fixture
def mixed(cli: Cli) -> list[str]:
    """Rejected events of two problems, sources and types; and bytes that are not JSON."""
    ids = reject(cli, event(0), event(1, "/x"), problems=("a: 31 days",))
    ids += reject(cli, event(2, type="cage.complete"), [event(3), 7], problems=("b: bad",))
    return (
        ids + reject(cli, event(4, type="x.closed"), refused_type="x.closed") + reject(cli, b"{", problems=("b: bad",))
    )


@pytest.mark.parametrize(
    ("conditions", "groups"),
    [
        (["--problem", "a: 9 days"], ["sg_0", "sg_1"]),
        (["--problem", "a: 31 days", "--source", "/x"], ["sg_1"]),
        (["--source", "/x"], ["sg_1"]),
        (["--type", "cage.complete"], ["sg_2"]),
        (["--type", "x.closed", "--accept-type", "x.closed"], ["sg_4"]),
    ],
)
def test_many_are_chosen_by_conditions(
    cli: Cli, store: redis.Redis, mixed: list[str], conditions: list[str], groups: list[str]
) -> None:
    """All conditions must hold; exactly those are replayed, as the dry run says, and the audit keeps them."""
    plan = cli.json("rejected", "replay", *conditions, "--dry-run")
    assert sorted(plan["groups"]) == groups
    shown = cli.text("rejected", "replay", *conditions, "--dry-run").splitlines()[-1]
    assert all(word in shown for word in conditions if word.startswith("--"))
    done = cli.json("rejected", "replay", *conditions, "--why", "mended")
    assert (done["replayed"], done["received"], queued(store)) == (len(groups), {"new": len(groups)}, groups)
    assert store.xlen(key_of("rejected")) == len(mixed) - len(groups)
    [entry] = cli.lines("audit")
    assert (entry["action"], entry["changed"]) == ("replay", len(groups))
    assert set(entry["selection"]["rejected"]) < set(mixed)
    [action] = cli.lines("actions", "list")
    assert (action["id"], action["verb"], action["state"]) == (done["id"], "replay", "done")
    assert action["changed"] == action["matched"] == len(groups)


def test_a_problem_narrows_the_use_of_subjects(cli: Cli, store: redis.Redis) -> None:
    """Only events with this problem are of a kind whose subject is used."""
    events = [HEAD | {"id": str(n), "subject": f"sg_{n}", "data": {"site": n}} for n in range(2)]
    reject(cli, events[0], problems=("a: b",))
    reject(cli, events[1], problems=("c: d",))
    cli("rejected", "replay", "--use-subject", "--problem", "c: d", "--yes")
    assert queued(store) == ["sg_1"]


def test_detached_and_resumed(cli: Cli, store: redis.Redis) -> None:
    """Detached, nothing is received here; whoever resumes it goes by the options that it was begun with."""
    reject(cli, *(event(number, type="x.y") for number in range(30)), refused_type="x.y")
    reject(cli, event(99, type="x.y", data={"reference": "a b"}), refused_type="x.y")
    told = cli("rejected", "replay", "--accept-type", "x.y", "--detach", "--json")
    assert '"state": "running"' in told.stdout
    assert "replay 30 events; the workers carry it on" in told.stderr
    assert queued(store) == []
    [action] = cli.lines("actions", "list")
    assert (action["matched"], action["left"], action["skipped"]) == (31, 30, {"still wrong": 1})
    cli("actions", "stop", action["id"])
    resumed = cli.json("actions", "resume", action["id"])
    assert (resumed["state"], resumed["changed"], resumed["skipped"]) == ("done", 30, {"still wrong": 1})
    assert len(queued(store)) == 30
    assert store.xlen(key_of("rejected")) == 1
    assert "only re-queues and discards" in cli("actions", "recall", action["id"], code=1).stderr


def at_ledger(cli: Cli, action_id: str, ids: list[str]) -> tuple[dict[str, str], Replayer]:
    """Receive events of an action as one does that is killed before it tells the ledger."""

    async def work() -> tuple[dict[str, str], Replayer]:
        async with Redis.from_url(cli.url) as real:
            ledger, replayer = Ledger(real), Replayer()
            action = await ledger.bulk.read(action_id)
            assert isinstance(action, BulkAction)
            return await replayer.answer(ledger, load(redis_url=cli.url), action, ids), replayer

    return asyncio.run(work())


def test_a_kill_between_receiving_and_taking_off(cli: Cli, store: redis.Redis) -> None:
    """The events are received again, which changes nothing, and the rejected ones are taken off and counted once."""
    ids = reject(cli, *map(event, range(5)))
    action = cli.json("rejected", "replay", *ids, "--detach")["id"]
    says, replayer = at_ledger(cli, action, ids)
    assert (set(says.values()), replayer.received) == ({"received"}, {"new": 5})
    assert store.xlen(key_of("rejected")) == 5
    assert at_ledger(cli, action, ids)[1].received == {"duplicate": 5}
    cli("actions", "stop", action)
    assert cli.json("actions", "resume", action)["changed"] == 5
    assert (store.xlen(key_of("rejected")), len(queued(store))) == (0, 5)
    assert [entry["changed"] for entry in cli.lines("audit") if entry["action"] == "replay"] == [5]


def test_what_is_wrong_or_gone_meanwhile(cli: Cli, store: redis.Redis) -> None:
    """An event that is not accepted any more stays rejected; one that somebody discarded is counted as gone."""
    ids = reject(cli, *(event(number, type="x.y") for number in range(3)))
    action = cli.json("rejected", "replay", *ids, "--detach", event_types="x.y")["id"]
    cli("rejected", "discard", ids[2], "--why", "not needed")
    cli("actions", "stop", action)
    done = cli.json("actions", "resume", action, event_types="z.*")
    assert (done["changed"], done["skipped"]) == (0, {"still wrong": 2, "gone": 1})
    assert cli.json("actions", "show", action)["not_done"] == {
        ids[0]: "still wrong", ids[1]: "still wrong", ids[2]: "gone",
    }  # fmt: skip
    assert (store.xlen(key_of("rejected")), queued(store)) == (2, [])


def test_set_is_done_by_whoever_carries_it(cli: Cli, store: redis.Redis) -> None:
    """The action holds what is set; bytes that cannot be corrected stay rejected."""
    good, odd = reject(cli, {"reference": "a b"}, [7])
    action = cli.json("rejected", "replay", good, "--set", "reference=sg_1", "--detach")["id"]
    assert at_ledger(cli, action, [odd])[0] == {odd: "still wrong"}
    cli("actions", "stop", action)
    assert cli.json("actions", "resume", action)["changed"] == 1
    assert queued(store) == ["sg_1"]


def test_a_damaged_action_receives_nothing(cli: Cli, store: redis.Redis) -> None:
    """It is stopped, and says why."""
    ids = reject(cli, event(1))
    action = cli.json("rejected", "replay", *ids, "--detach")["id"]
    cli("actions", "stop", action)
    store.hset(key_of(f"action:{action}"), "selection", '{"accept_type": 7}')
    assert "damaged" in cli("actions", "resume", action, code=1).stderr
    assert cli.json("actions", "show", action)["state"] == "stopped"
    assert queued(store) == []
