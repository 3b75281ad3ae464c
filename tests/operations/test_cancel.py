"""Cancel events as operators see them: who holds a group, what came too late, and events that are replayed."""

from __future__ import annotations

from typing import Any

import redis

from tasks.closure import Reason
from tasks.events.event import GroupCancelled, GroupComplete
from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import Seed
from tests.operations.test_replay import queued, reject
from tests.support import STREAM, cloud_event

SOURCE = "wms-leeds"
CANCELLED = "group.cancelled"


def cancel(cli: Cli, *references: str) -> None:
    """Cancel events come for these."""
    at_ledger(
        cli.url, lambda ledger: ledger.receive([GroupCancelled(one, SOURCE, f"x-{one}", 2) for one in references])
    )


def complete(cli: Cli, reference: str, time_ms: int, event_id: str) -> None:
    """A complete event comes."""
    at_ledger(cli.url, lambda ledger: ledger.receive([GroupComplete(reference, SOURCE, event_id, time_ms=time_ms)]))


def test_it_is_shown_who_holds_a_group(cli: Cli) -> None:
    """`show`, `list`, `status` and a refused re-queue say that an event of this source holds it, and since when."""
    complete(cli, "sg_1", 1, "e1")
    cancel(cli, "sg_1", "sg_new")
    shown = cli.json("show", "sg_1")
    assert (shown["state"], shown["hold"]["source"], shown["hold"]["event_id"]) == ("held", SOURCE, "x-sg_1")
    assert [(one["result"], one["source"]) for one in shown["cancel_events"]] == [("cancelled", SOURCE)]
    text = " ".join(cli.text("show", "sg_1").split())
    assert "a cancel event of wms-leeds, id x-sg_1" in text
    assert "UTC by a cancel event of wms-leeds (id x-sg_1)" in text
    assert "or a later event of wms-leeds says that it is complete" in text
    assert "closer release sg_1" in text
    listed = cli.lines("list", "--state", "held")
    assert {one["reference"]: one["hold"]["source"] for one in listed} == {"sg_1": SOURCE, "sg_new": SOURCE}
    assert "held by an event of wms-leeds" in cli.text("list", "--state", "held")
    status = cli.json("status")
    assert (status["closures"]["held"], status["held_by_events"]) == (2, 2)
    assert status["notices"][0]["fields"]["by"] == f"a cancel event of {SOURCE}"
    assert "2 of them by cancel events" in cli.text("status")
    assert "no event has said that it is complete" in cli.text("show", "sg_new")


def test_a_person_takes_over_and_releases(cli: Cli) -> None:
    """`closer hold` makes an event's hold the operator's, and shows the cancel event; a release frees it."""
    complete(cli, "sg_1", 1, "e1")
    cancel(cli, "sg_1")
    assert "Held 1 of 1" in cli.text("hold", "sg_1", "--why", "I look into it")
    assert "is held by olga since" in " ".join(cli.text("show", "sg_1").split())
    assert "cancel events of wms-leeds ask for it, too: I look" in " ".join(cli.text("show", "sg_1").split())
    assert "held by olga" in cli.text("list", "--state", "held")
    assert cli.json("status")["held_by_events"] == 0
    complete(cli, "sg_1", 3, "e2")
    assert cli.json("show", "sg_1")["state"] == "held"
    assert cli.json("release", "sg_1", "--why", "complete now")["released"] == 1
    assert cli.json("show", "sg_1")["state"] == "queued"


def test_several_sources(cli: Cli) -> None:
    """All of them are named."""
    cancel(cli, "sg_1")
    at_ledger(cli.url, lambda ledger: ledger.receive([GroupCancelled("sg_1", "erp", "1", 2)]))
    assert "also by erp" in " ".join(cli.text("show", "sg_1").split())


def test_a_cancel_event_that_came_too_late(cli: Cli) -> None:
    """`status` counts it and names the group, `show` says when the group was closed; nothing is changed."""
    cli.sow([Seed("sg_1", None, 200, None, SOURCE)])
    cancel(cli, "sg_1")
    status = cli.json("status")
    assert status["cancelled_too_late"] == 1
    assert list(status["cancelled_too_late_last"]) == ["sg_1"]
    assert status["notices"][0]["kind"] == "cancel_too_late"
    text = cli.text("status")
    assert "1 group was closed before a cancel event came, within a day" in text
    assert "closer show sg_1" in text
    text = " ".join(cli.text("show", "sg_1").split())
    assert "came TOO LATE: the group was closed" in text
    assert "A cancel event came too late: the group was closed at" in text
    assert cli.json("show", "sg_1")["state"] == "closed"


def test_cancel_events_that_changed_nothing(cli: Cli) -> None:
    """`show` tells of them and why."""
    complete(cli, "sg_1", 3, "e1")
    cancel(cli, "sg_1")
    assert "changed nothing: a later one of its source says complete" in " ".join(cli.text("show", "sg_1").split())
    cli.sow([Seed("sg_2", Reason.GONE, 410, "gone", SOURCE)])
    cli("discard", "sg_2", "--why", "it is gone")
    cancel(cli, "sg_2")
    assert "changed nothing: it is discarded" in " ".join(cli.text("show", "sg_2").split())


def started(cli: Cli) -> None:
    """A worker has started whose list has the type."""
    policy = FleetPolicy(1000.0, 0.0, STREAM, "", 0.0, CANCELLED)

    async def start(ledger: Ledger) -> None:
        await ledger.policy.start(policy)

    at_ledger(cli.url, start)


def test_events_that_were_rejected_before_the_type_was_set(cli: Cli, store: redis.Redis) -> None:
    """`status` and `check` tell how to have their groups held; the dry run shows which; then they are held."""
    complete(cli, "sg_1", 1, "e1")
    reject(cli, cloud_event("sg_1", type=CANCELLED).encode(), refused_type=CANCELLED)
    assert "if it means complete" in cli.text("status")
    started(cli)
    assert "the type cancels by now; to have their groups held: closer rejected replay" in " ".join(
        cli.text("status").split()
    )
    replay = ("rejected", "replay", "--accept-type", CANCELLED)
    dry_run = cli.json(*replay, "--dry-run")
    assert (dry_run["groups"], dry_run["cancelled"]) == ({}, {"sg_1": 1})
    assert "would have 1 group held, because they are cancelled" in cli.text(*replay, "--dry-run")
    assert cli.json(*replay)["received"] == {"cancelled": 1}
    assert queued(store) == []
    assert cli.json("show", "sg_1")["state"] == "held"


def test_both_kinds_in_one_replay(cli: Cli) -> None:
    """The dry run shows them apart: what would be closed, and what would be held."""
    started(cli)
    ids = reject(cli, cloud_event("sg_1", type=CANCELLED).encode(), cloud_event("sg_2").encode())
    text = cli.text("rejected", "replay", *ids, "--dry-run")
    assert "would have 1 group closed:\n  sg_2" in text
    assert "would have 1 group held, because they are cancelled:\n  sg_1" in text


def test_none_while_an_older_worker_is_alive(cli: Cli, store: redis.Redis) -> None:
    """The replay says so, and the event stays among the rejected ones."""
    started(cli)
    store.hset("{closer}:workers", "old@host", f'{{"at": {1000 * int(store.time()[0])}, "ledger_version": 1}}')
    [one] = reject(cli, cloud_event("sg_1", type=CANCELLED).encode())
    result = cli.json("rejected", "replay", one, code=1)
    assert "older release" in result["still_rejected"][one][0]


def test_check_names_what_a_type_does(cli: Cli) -> None:
    """A type that cancels is told as such."""
    started(cli)
    at_ledger(cli.url, lambda ledger: ledger.events.seen([CANCELLED]))
    [line] = [one for one in cli.json("check", code=1)["checks"] if "types that came" in one["message"]]
    assert f"{CANCELLED} (cancels)" in line["message"]


def test_publish_sends_them(cli: Cli, store: redis.Redis) -> None:
    """Lines with cancel events are checked by the fleet's types, and sent as they are."""
    started(cli)
    line = cloud_event("sg_1", type=CANCELLED)
    cli("publish", "-", stdin=line)
    entries: Any = store.xrange(STREAM)
    [(_, fields)] = entries
    assert fields[b"event"].decode() == line
