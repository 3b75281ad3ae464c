"""The rules of the operations hold for every front end: here there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.closure import State
from tasks.errors import CloserError, ForeignApi
from tasks.events.event import Rejection
from tasks.events.event_type import EventTypes
from tasks.ledger.audit import AuditEntry
from tasks.ledger.policy import FleetPolicy
from tests.support import API_KEY, STREAM, key_of
from tests.tasks.book import Book
from worker.operations import audit, bulk, dead_letters, gate, policy, publish, replay
from worker.operations.bulk import BulkOptions, BulkResult
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.frozen import FrozenSelection, freeze
from worker.operations.operator import Operator, Role, Verb
from worker.operations.reconcile import Findings, reconcile
from worker.operations.reference_lines import read
from worker.operations.refusal import Refused, Rule
from worker.operations.selection import Filter, Selection
from worker.operations.step import GateShut
from worker.settings import load
from worker.simulator.server import Simulator, run_in_thread

FAILED = Selection(filter=Filter(states=(State.FAILED,)))
WHY = BulkOptions("w")
POLICY = FleetPolicy(60, 0, STREAM)


@pytest.fixture
def context(any_store: Redis) -> OperatorContext:
    """An operator on an empty ledger."""
    return OperatorContext.of(Operator("anna", Role.ADMIN, "test"), load(), any_store)


async def fail(context: OperatorContext, number: int) -> list[str]:
    """Make so many failed closures."""
    book, references = Book(context.ledger.redis), [f"sg_{n:03d}" for n in range(number)]
    await book.receive(*references)
    for reference in references:
        await book.failed(reference)
    return references


async def entries(context: OperatorContext) -> list[AuditEntry]:
    """The audit, the newest first."""
    return [entry async for entry in audit.entries(context) if isinstance(entry, AuditEntry)]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"bad ref", "not a reference"),
        (b'{"reference": 7}', "reference"),
        (b'[{"reference": "sg_1"}, {"reference": "a b"}]', "reference"),
        (b'{"reference": "sg_1", "event_type": "trailer.dispatched"}', "type"),
        (b"{", "JSON"),
    ],
)
def test_a_line_that_would_be_rejected_is_not_an_event(line: bytes, problem: str) -> None:
    """It is told with where it stands, and the lines beside it are events all the same."""
    lines = read([("line 1", b"sg_1"), ("line 2", line), ("line 3", b" ")], events=True)
    made = publish.prepare(lines, source="s", types=EventTypes())
    [wrong] = made.wrong
    assert wrong.startswith("line 2: ")
    assert problem in wrong
    assert [json.loads(event)["data"]["reference"] for event in made.bodies()] == ["sg_1"]


async def test_events_are_published_in_order(context: OperatorContext) -> None:
    """More than are sent at once stay in their order, and an event in JSON goes out as it is."""
    lines = [(str(n), json.dumps({"reference": f"sg_{n}"}).encode()) for n in range(1100)]
    made = publish.prepare(read(lines, events=True), source="s", types=EventTypes())
    assert await publish.send(context, made) == STREAM
    sent: Any = await context.ledger.redis.xrange(STREAM)
    assert [fields[b"event"] for _, fields in sent] == [line for _, line in lines]


async def test_nothing_is_published_beside_a_wrong_line(context: OperatorContext) -> None:
    """Whichever door made the events, one wrong line refuses all of them, and each wrong one is named."""
    lines = [("line 1", b"sg_1"), ("line 2", b"bad ref"), ("line 3", b"{")]
    made = publish.prepare(read(lines, events=True), source="s", types=EventTypes())
    with pytest.raises(Refused, match="nothing was published: 2 lines are wrong") as raised:
        await publish.send(context, made)
    assert raised.value.rule is Rule.WRONG_LINES
    assert [line.partition(":")[0] for line in raised.value.data["wrong"]] == ["line 2", "line 3"]
    assert not await context.ledger.redis.exists(STREAM)


async def test_a_replay_that_would_lose_a_group_is_refused_whole(context: OperatorContext) -> None:
    """Two events that name two groups must not name one afterwards."""
    for number in range(2):
        body = json.dumps({"reference": f"bad {number}"}).encode()
        await context.ledger.dead_letters.reject(body, Rejection(("reference: x",)), f"{number}-0")
    ids = tuple([one.rejected_id async for one in dead_letters.newest(context)])
    with pytest.raises(CloserError, match="name 2 groups, but would close only 1"):
        await replay.plan(context, DeadLetterSelection(ids, edited=True), lambda _: b'{"reference": "sg_1"}')
    assert len([one async for one in dead_letters.newest(context)]) == 2
    assert await context.ledger.redis.zcard(key_of("queued")) == 0


async def test_what_is_still_wrong_stays_rejected(context: OperatorContext) -> None:
    """The rest is received, and the audit tells of both."""
    good = await context.ledger.dead_letters.reject(b'{"reference": "sg_1"}', Rejection(("x: y",)), "1-0")
    bad = await context.ledger.dead_letters.reject(b'{"reference": "a b"}', Rejection(("x: y",)), "2-0")
    planned, _ = await replay.plan(context, DeadLetterSelection((good, bad)))
    result = await replay.replay(context, planned, WHY)
    assert (result.matched, result.replayed, result.received) == (2, 1, {"new": 1})
    assert [one.rejected_id async for one in dead_letters.newest(context)] == [bad]
    [entry] = await entries(context)
    assert (entry.changed, entry.skipped, entry.unfinished) == (1, {"still wrong": 1}, 0)


async def act(context: OperatorContext, verb: Verb, how: BulkOptions) -> BulkResult:
    """Do it with all that failed."""
    frozen = await freeze(context, verb, FAILED, how.why)
    return await (bulk.requeue if verb is Verb.REQUEUE else bulk.discard)(context, frozen, how)


@pytest.mark.parametrize("verb", [Verb.REQUEUE, Verb.DISCARD])
async def test_an_action_that_is_stopped_does_the_rest_when_it_is_repeated(
    context: OperatorContext, verb: Verb
) -> None:
    """It ends between two chunks; each closure is changed once, and both entries of the audit add up."""
    await fail(context, 5)
    how = BulkOptions("w", rate=2.0)
    first = await act(context, verb, replace(how, progress=lambda _: how.stop.set()))
    assert (first.matched, first.changed, first.stopped) == (5, 2, True)
    rest = await act(context, verb, WHY)
    assert (rest.matched, rest.changed, rest.stopped) == (3, 3, False)
    assert [(entry.matched, entry.changed, entry.unfinished) for entry in await entries(context)] == [
        (3, 3, 0), (5, 2, 3)
    ]  # fmt: skip


async def test_what_fails_later_is_not_acted_upon(context: OperatorContext) -> None:
    """The selection is looked up once; a closure that has moved on meanwhile is counted and left alone."""
    first, _ = await fail(context, 2)
    frozen = await freeze(context, Verb.DISCARD, FAILED, "w")
    await context.ledger.requeue([first])
    book = Book(context.ledger.redis)
    await book.receive("sg_later")
    await book.failed("sg_later")
    result = await bulk.discard(context, frozen, WHY)
    assert (result.changed, dict(result.skipped)) == (1, {"moved on": 1})
    assert (await book.read("sg_later")).state is State.FAILED


async def test_a_pause_and_its_end_are_audited_with_the_door(context: OperatorContext) -> None:
    """Who, why and through which door stand in the audit; a resume ends the pause."""
    assert (await gate.pause(context, why="upgrade")).get("paused")
    assert not (await gate.resume(context, why="done")).get("paused")
    actions = [entry.action for entry in await entries(context)]
    assert [(one.action, one.name, one.why, one.door) for one in actions] == [
        ("resume", "anna", "done", "test"), ("pause", "anna", "upgrade", "test")
    ]  # fmt: skip


async def test_no_pause_beside_an_older_ledger(context: OperatorContext) -> None:
    """Before the first worker has moved an older ledger a pause is refused, and writes nothing."""
    await context.ledger.redis.zadd("closer:agenda", {"sg_1": 1})
    with pytest.raises(Refused, match="older release") as refused:
        await gate.pause(context, why="upgrade")
    assert refused.value.rule is Rule.OLDER_LEDGER
    assert not await context.ledger.redis.exists(key_of("gate"), key_of("audit"))
    await context.ledger.policy.start(POLICY)
    assert (await gate.pause(context, why="stop it all")).get("paused")


async def test_a_pause_of_another_fleet_beside_an_older_ledger(any_store: Redis) -> None:
    """An older ledger is the default fleet's, so another fleet can be paused."""
    await any_store.zadd("closer:agenda", {"sg_1": 1})
    context = OperatorContext.of(Operator("anna", Role.ADMIN, "test"), load(namespace="north"), any_store)
    assert (await gate.pause(context, why="upgrade")).get("paused")


async def test_a_ledger_is_not_moved_while_a_worker_may_call_another_api(context: OperatorContext) -> None:
    """The worker is named, and nothing has changed; without one the move is done and audited."""
    await context.ledger.policy.move_api("https://old.example", by="x", why="x")
    await context.ledger.heartbeats.write("w1", {"api": "https://old.example"})
    with pytest.raises(CloserError, match="nothing was moved: w1 may still call"):
        await policy.move_api(context, why="w")
    with pytest.raises(ForeignApi):
        await policy.refuse_other_api(context)
    await context.ledger.redis.delete(key_of("workers"))
    assert (await policy.move_api(context, why="w"))[0] == "https://old.example"
    await policy.refuse_other_api(context)
    assert (await entries(context))[0].action.action == "move-api"


@pytest.fixture
def asking(context: OperatorContext, monkeypatch: pytest.MonkeyPatch) -> Iterator[OperatorContext]:
    """The same operator, and an API that knows the group of the first failed closure as closed."""
    monkeypatch.setenv("CLOSER_API_KEY", API_KEY)
    with run_in_thread(Simulator(api_key=API_KEY)) as (url, simulator):
        simulator.groups.add("sg_000", "closed")
        simulator.groups.add("sg_001", "open")
        yield replace(context, settings=load(api_base_url=url))


async def frozen_failures(context: OperatorContext) -> FrozenSelection:
    """Two failed closures, looked up for a reconciliation."""
    await fail(context, 2)
    return await freeze(context, Verb.VERIFY, FAILED)


async def test_a_reconciliation_mends_and_a_dry_run_only_tells(asking: OperatorContext) -> None:
    """Both find the same; the dry run changes nothing and is not audited."""
    frozen = await frozen_failures(asking)

    def found(findings: Findings) -> tuple[int, int, int]:
        return findings.asked, findings.agree, findings.closed

    assert found(await reconcile(asking, frozen, WHY, dry_run=True)) == (2, 1, 1)
    assert (await asking.ledger.read(["sg_000"]))[0].state is State.FAILED  # type: ignore[union-attr]
    assert await entries(asking) == []
    assert found(await reconcile(asking, frozen, WHY)) == (2, 1, 1)
    assert (await asking.ledger.read(["sg_000"]))[0].state is State.CLOSED  # type: ignore[union-attr]
    [entry] = await entries(asking)
    assert (entry.matched, entry.changed, entry.skipped) == (2, 1, {"agree": 1})


async def test_a_reconciliation_asks_only_the_ledgers_api_and_not_while_the_gate_is_shut(
    asking: OperatorContext,
) -> None:
    """Neither is asked around, but for `while_shut`, which changes nothing at Sorted."""
    frozen = await frozen_failures(asking)
    await gate.pause(asking, why="upgrade")
    with pytest.raises(GateShut, match="upgrade"):
        await reconcile(asking, frozen, WHY)
    assert (await reconcile(asking, frozen, WHY, while_shut=True)).asked == 2
    await asking.ledger.policy.move_api("https://other.example", by="x", why="x")
    before = await entries(asking)
    with pytest.raises(ForeignApi):
        await reconcile(asking, frozen, WHY, while_shut=True)
    assert await entries(asking) == before
