"""`closer rejected replay`: no event is lost by it, and no group is closed that was not shown or named."""

from __future__ import annotations

import asyncio
import json
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.events.event import Rejection, parse
from tasks.events.event_type import EventTypes
from tasks.ledger.ledger import Ledger
from tests.operations.conftest import Cli
from tests.support import key_of
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.corrections import set_field
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.operator import Operator, Role
from worker.operations.replay import Replayed, names, plan, replay
from worker.settings import load

HEAD = {"specversion": "1.0", "source": "/w", "type": "group.complete"}


def reject(cli: Cli, *events: Any, refused_type: str | None = None, problems: tuple[str, ...] = ("x: y",)) -> list[str]:
    """Put events aside, as workers do; their ids."""
    bodies = [event if isinstance(event, bytes) else json.dumps(event).encode() for event in events]

    async def work() -> list[str]:
        async with Redis.from_url(cli.url) as real:
            rejection = Rejection(problems, refused_type)
            return [await Ledger(real).dead_letters.reject(body, rejection, f"7-{n}") for n, body in enumerate(bodies)]

    return asyncio.run(work())


def queued(store: redis.Redis) -> list[str]:
    """The groups that will be closed."""
    references: Any = store.zrange(key_of("queued"), 0, -1)
    return sorted(reference.decode() for reference in references)


BAD = [{"reference": f"bad {number}"} for number in range(3)]


@pytest.mark.parametrize(
    "field",
    ["reference=sg_1", "data.reference=sg_1", "subject=sg_1", "data.subject=sg_1", "type=x", "event=x", "event_type=x",
     "eventType=x", "id=1", "data={}", 'data={"reference":"sg_1"}', "data_base64=e30="],
)  # fmt: skip
def test_what_tells_events_apart_is_not_set_on_several(cli: Cli, store: redis.Redis, field: str) -> None:
    """One value would make three events the same, so it is refused as wrong usage, and all three stay."""
    ids = reject(cli, *BAD)
    done = cli("rejected", "replay", *ids, "--set", field, code=2)
    assert f"--set {field.partition('=')[0]}" in done.stderr
    assert store.xlen(key_of("rejected")) == 3
    assert queued(store) == []
    assert store.xlen(key_of("audit")) == 0


def test_other_fields_may_be_set_on_several(cli: Cli, store: redis.Redis) -> None:
    """A field that does not tell events apart may be set on several."""
    ids = reject(cli, *({"reference": f"sg_{number}", "custom_reference": 7} for number in range(2)))
    result = cli.json("rejected", "replay", *ids, "--set", "custom_reference=unknown")
    assert result["received"] == {"new": 2}
    assert queued(store) == ["sg_0", "sg_1"]


def test_a_replay_never_makes_fewer_groups(cli: Cli, store: redis.Redis, tmp_path: Path) -> None:
    """If an editor gives three events one reference, all of it is refused before anything is received."""
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i 's/bad ./sg_1/' \"$1\"\n")
    editor.chmod(editor.stat().st_mode | stat.S_IXUSR)
    ids = reject(cli, *BAD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDITOR", str(editor))
        patch.delenv("VISUAL", raising=False)
        done = cli("rejected", "replay", *ids, "--edit", code=1)
        assert "name 3 groups, but would close only 1" in done.stderr
        assert "sg_1 (3 events)" in done.stderr
        assert (store.xlen(key_of("rejected")), queued(store)) == (3, [])
        assert cli.json("rejected", "replay", ids[0], "--edit")["received"] == {"new": 1}


@pytest.mark.parametrize(
    "body",
    [
        b'[{"reference": "a b"}, {"reference": "sg_2"}]',
        b'[{"reference": "sg_1"}, {"reference": "sg_2"}',
        b'{"reference": "a b"}\n{"reference": "sg_2"}',
        b'{"reference": "sg_1"',
        json.dumps('[{"reference": "sg_1"}, {"reference": "sg_2"}]').encode(),
        json.dumps(HEAD | {"id": "1", "data": [{"reference": "sg_1"}, {"reference": "sg_2"}]}).encode(),
        json.dumps(HEAD | {"id": "1", "data": '[{"reference": "sg_1"}]'}).encode(),
        json.dumps(HEAD | {"id": "1", "data_base64": "W3sicmVmZXJlbmNlIjoic2dfMSJ9XQ=="}).encode(),
    ],
)
def test_set_throws_no_array_away(cli: Cli, store: redis.Redis, body: bytes) -> None:
    """An array, or broken JSON that may hold several events, is refused with a word, and kept as it is."""
    [rejected_id] = reject(cli, body)
    done = cli("rejected", "replay", rejected_id, "--set", "reference=sg_1", code=1)
    assert f"{rejected_id} was not corrected" in done.stderr
    assert "--edit" in done.stderr
    assert cli.json("rejected", "show", rejected_id)["event"] == body.decode()
    assert queued(store) == []


def test_a_whole_batch_is_replayed_whole_or_not_at_all(cli: Cli, store: redis.Redis) -> None:
    """While one of its events is wrong nothing is received of it, and each problem names its place."""
    good, bad = reject(cli, [{"reference": "sg_1"}, {"reference": "sg_2"}], [{"reference": "sg_3"}, 7])
    done = cli("rejected", "replay", good, bad, "--json", code=1)
    result = json.loads(done.stdout)
    assert (result["matched"], result["replayed"], result["received"]) == (2, 1, {"new": 2})
    assert result["still_rejected"] == {bad: ["7-1/1: event: a JSON object is needed, this is a number"]}
    assert queued(store) == ["sg_1", "sg_2"]
    assert cli.json("show", "sg_2")["event_id"] == "7-0/1"


def test_a_type_is_accepted_after_all(cli: Cli, store: redis.Redis) -> None:
    """All that wait for it are received, others are not; the counts follow; what to set for new ones is told."""
    events = [HEAD | {"id": str(n), "type": "trailer.dispatched", "data": {"reference": f"sg_{n}"}} for n in range(30)]
    reject(cli, *events, {"reference": "sg_x", "event": "trailer.dispatched"}, refused_type="trailer.dispatched")
    reject(cli, {"reference": "sg_o", "event": "order.cancelled"}, refused_type="order.cancelled")
    assert cli.json("status")["waiting_types"] == {"trailer.dispatched": 31, "order.cancelled": 1}
    plan = cli.json("rejected", "replay", "--accept-type", "trailer.dispatched", "--dry-run")
    assert plan["groups"] == {f"sg_{n}": 1 for n in [*range(30), "x"]}
    assert queued(store) == []
    done = cli("rejected", "replay", "--accept-type", "trailer.dispatched", "--why", "asked them")
    assert "Replayed 31 of 31 events: 31 new." in done.stdout
    assert "put aside as before; to accept them, set CLOSER_EVENT_TYPES=trailer.dispatched" in done.stderr
    assert len(queued(store)) == 31
    assert cli.json("status")["waiting_types"] == {"order.cancelled": 1}
    quiet = cli("rejected", "replay", "--accept-type", "order.cancelled", event_types="*.cancelled")
    assert quiet.stderr == ""
    assert cli.json("status")["waiting_types"] == {}
    cli("rejected", "replay", "--accept-type", "order.cancelled", code=1)


def test_a_replay_that_is_stopped_ends_between_two_chunks(cli: Cli, store: redis.Redis) -> None:
    """What was received is off the rejected events, the rest is not touched, and the result says how many."""
    ids = reject(cli, *({"reference": f"sg_{n}"} for n in range(50)))

    async def work() -> Replayed:
        async with Redis.from_url(cli.url) as real:
            context = OperatorContext.of(Operator("olga", Role.ADMIN, "test"), load(redis_url=cli.url), real)
            stop = asyncio.Event()
            bulk = BulkOptions("test", stop=stop, progress=lambda _: stop.set())
            planned, _ = await plan(context, DeadLetterSelection(tuple(ids)))
            return await replay(context, planned, bulk)

    result = asyncio.run(work())
    assert 0 < result.replayed == result.received["new"] == len(queued(store)) < 50
    assert store.xlen(key_of("rejected")) == 50 - result.replayed


def test_a_type_is_accepted_of_some_only(cli: Cli, store: redis.Redis) -> None:
    """A type may be accepted for some events only: those with these ids, or those up to one id."""
    events = [{"reference": f"sg_{n}", "event": "x.y"} for n in range(4)]
    ids = reject(cli, *events, refused_type="x.y")
    assert f"closer rejected replay {ids[3]} --accept-type x.y" in cli.text("rejected", "show", ids[3])
    cli("rejected", "replay", ids[3], "--accept-type", "x.y")
    assert queued(store) == ["sg_3"]
    cli("rejected", "replay", "--accept-type", "x.y", "--up-to", ids[1])
    assert queued(store) == ["sg_0", "sg_1", "sg_3"]
    assert cli.json("status")["waiting_types"] == {"x.y": 1}


def test_a_subject_is_used_after_it_was_shown(cli: Cli, store: redis.Redis) -> None:
    """For one source and type at a time; the command that was shown closes exactly what was shown."""
    kinds = [("/w", "group.complete", n) for n in range(3)] + [("/x", "group.complete", 3), ("/w", "cage.complete", 4)]
    events = [
        {"specversion": "1.0", "id": str(n), "source": source, "type": kind, "subject": f"sg_{n}", "data": {"site": n}}
        for source, kind, n in kinds
    ]
    reject(cli, *events, HEAD | {"id": "9", "data": {"site": 1}}, HEAD | {"id": "8", "data": {"reference": "a b"}})
    shown = cli.text("rejected", "replay", "--use-subject")
    commands = [line.partition(": ")[2] for line in shown.splitlines()[1:]]
    assert [shlex.split(command)[4:] for command in commands] == [
        ["--source", "/w", "--type", "cage.complete"],
        ["--source", "/x", "--type", "group.complete"],
        ["--source", "/w", "--type", "group.complete"],
    ]
    assert len(cli.json("rejected", "replay", "--use-subject", "--yes")["kinds"]) == 3
    shown = cli.text(*shlex.split(commands[2])[1:])
    assert "3 events would have 3 groups closed:\n  sg_0\n  sg_1\n  sg_2\n" in shown
    assert queued(store) == []
    reject(cli, events[0] | {"id": "late", "subject": "sg_late"})
    done = cli(*shlex.split(shown.splitlines()[-1])[1:])
    assert "3 new" in done.stdout
    assert queued(store) == ["sg_0", "sg_1", "sg_2"]
    assert cli.json("show", "sg_0")["source"] == "/w"
    assert "--use-subject" in cli.lines("audit")[0]["filter"]


def test_what_is_advised_for_a_refused_type_and_an_unused_subject_works(cli: Cli, store: redis.Redis) -> None:
    """Both stand in the way of one event: one command answers both; each alone says that nothing would be replayed."""
    event = HEAD | {"id": "1", "type": "x.y", "subject": "sg_1", "data": {"site": 1}}
    found = parse(json.dumps(event).encode(), source="s", event_id="1-0", types=EventTypes())
    assert isinstance(found, Rejection)
    [rejected_id] = reject(cli, event, refused_type="x.y", problems=found.problems)
    for alone in (["--use-subject"], ["--accept-type", "x.y", "--dry-run"]):
        shown = cli("rejected", "replay", rejected_id, *alone)
        assert "Nothing would be replayed" in shown.stdout
        assert "--yes" not in shown.stdout
    advised = cli.text("rejected", "show", rejected_id).splitlines()[-1].partition(": ")[2]
    closing = cli.text(*shlex.split(advised)[1:]).splitlines()[-1]
    cli(*shlex.split(closing)[1:])
    assert queued(store) == ["sg_1"]


def test_a_subject_that_is_not_the_group_is_noticed(cli: Cli, store: redis.Redis) -> None:
    """Different data with one subject are several groups: the subject is a site, and the replay is refused."""
    sites = [HEAD | {"id": str(n), "subject": "leeds-1", "data": {"groupReference": f"sg_{n}"}} for n in range(3)]
    [first, *_] = reject(cli, *sites)
    done = cli("rejected", "replay", "--use-subject", "--yes", code=1)
    assert "leeds-1 (3 events)" in done.stderr
    assert queued(store) == []
    cli("rejected", "replay", first, "--use-subject", "--yes")
    assert queued(store) == ["leeds-1"]


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("--accept-type", "x", "--use-subject"),
        ("--source", ""),
        ("1-0", "--problem", "x"),
        ("1-0", "--type", "x", "--use-subject"),
        ("--use-subject", "--set", "x=y"),
        ("--accept-type", "x", "--edit"),
        ("²-0",),
        ("1-0-0",),
        ("18446744073709551616-0",),
        ("--use-subject", "--up-to", "now"),
        ("1-0", "--set", "x"),
    ],
)
def test_wrong_usage_is_told(cli: Cli, arguments: tuple[str, ...]) -> None:
    """Wrong usage is refused before anything is looked up."""
    cli.text("rejected", "replay", *arguments, code=2)


def test_a_damaged_entry_can_be_shown_and_discarded(cli: Cli, store: redis.Redis) -> None:
    """An entry that another program wrote is shown as damaged, and can be discarded."""
    damaged: Any = store.xadd(key_of("rejected"), {"what": "ever", "problems": "{"})
    rejected_id = damaged.decode()
    assert "closer did not write this entry" in cli.text("rejected", "show", rejected_id)
    assert json.loads(cli.json("rejected", "show", rejected_id)["event"]) == {"what": "ever", "problems": "{"}
    cli("rejected", "replay", rejected_id, code=1)
    assert cli.json("rejected", "discard", rejected_id, "--why", "not ours")["discarded"] == 1


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"reference": "a b"}', {'"a b"'}),
        (b'[{"reference": "a"}, {"reference": "b"}, {"reference": "a"}]', {'"a"', '"b"'}),
        (json.dumps(HEAD | {"data": '{"reference": "a"}', "subject": "x"}).encode(), {'"a"'}),
        (json.dumps(HEAD | {"data": {"site": 1}, "subject": "x"}).encode(), {'{"site": 1}'}),
        (json.dumps(HEAD | {"data": "<x/>", "subject": "x"}).encode(), {'"<x/>"'}),
        (json.dumps(HEAD | {"subject": "x"}).encode(), {'"x"'}),
        (b"\xff", {"\\xff"}),
        (b"7", {"7"}),
        (b"[7", {"[7"}),
        (b'{"data":' * 970 + b"7" + b"}" * 970, None),
    ],
)
def test_what_rejected_bytes_call_their_groups(body: bytes, expected: set[str] | None) -> None:
    """One name for each event that could mean another group, however deep it is nested."""
    assert names(body) == expected if expected else len(names(body)) == 1


def test_a_correction_inside_of_data_keeps_the_rest() -> None:
    """Data in Base64 are corrected as well, and nothing else of them is lost."""
    body = json.dumps(HEAD | {"data_base64": "eyJzaXRlIjogMX0="}).encode()
    corrected = json.loads(set_field("reference", "sg_1")(body))
    assert corrected == HEAD | {"data": {"site": 1, "reference": "sg_1"}}
