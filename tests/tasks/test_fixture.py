"""What a release has left in a store is read by every later one, and goes on from there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.closure import OPEN_STATES, Reason, State
from tasks.events.batch import Element
from tasks.events.event import Rejection
from tasks.ledger.audit import AuditEntry
from tasks.ledger.catalogue import Catalogue, Query
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.notices import Notice, NoticeKind
from tests.fixtures.ledger import load
from tests.support import STREAM
from tests.tasks.book import LEASE_S, Book
from worker.operations import audit, dead_letters
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_filter import DeadLetterFilter
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.operator import Operator, Role, Verb
from worker.operations.replay import plan, replay
from worker.settings import load as load_settings

FIXTURES = sorted((Path(__file__).parents[1] / "fixtures").glob("records-*.json"))
Fixture = dict[str, Any]


@pytest.fixture(params=FIXTURES, ids=lambda path: path.stem)
def fixture(request: pytest.FixtureRequest) -> Fixture:
    """One release's ledger as it has left it."""
    content: Fixture = json.loads(request.param.read_text("utf-8"))
    return content


@pytest.fixture
async def left(any_store: Redis, fixture: Fixture) -> Book:
    """That ledger in a store, at the time at which it was left."""
    book = Book(any_store)
    book.clock.ms = fixture["now_ms"]
    await load(any_store, book.ledger.prefix, fixture["keys"])
    return book


@pytest.fixture
def context(left: Book) -> OperatorContext:
    """An operator who looks at it."""
    return OperatorContext.of(Operator("ann", Role.ADMIN, "cli"), load_settings(), left.redis)


def test_there_is_one_of_each_version() -> None:
    """The first release with versions has its fixture, with every state and every reason."""
    assert "records-1" in {path.stem for path in FIXTURES}
    closures = json.loads(FIXTURES[0].read_text("utf-8"))["closures"].values()
    assert {closure["state"] for closure in closures} >= {
        "queued",
        "closing",
        "retrying",
        "closed",
        "failed",
        "discarded",
    }
    assert {closure["reason"] for closure in closures} >= {reason.value for reason in Reason}


async def test_every_closure_is_read(left: Book, fixture: Fixture) -> None:
    """Each closure says of itself what it said then; a later release only adds to that."""
    for reference, said in fixture["closures"].items():
        now = (await left.read(reference)).as_json()
        assert {name: now.get(name) for name in said} == said


async def test_the_rest_is_read(left: Book, context: OperatorContext) -> None:
    """So are the gate with all its reasons, the workers, the policy, and the counts."""
    gate = await left.ledger.gate.look()
    assert [one.reason for one in gate.standing] == ["paused", "unauthorised", "outage", "throttled"]
    assert [key.key for key in gate.suspended] == ["0123abcd"]
    _, [sign] = await left.ledger.heartbeats.write()
    assert isinstance(sign, Heartbeat)
    assert (sign.name, sign.in_flight, sign.settled) == ("closer-1@one", 1, 7)
    policy = await left.ledger.policy.read()
    assert policy is not None
    assert (policy.deadline_s, policy.stream) == (86_400.0, STREAM)
    assert await left.ledger.policy.api() == "https://api.sorted.com/pro"
    summary = await Catalogue(left.redis, clock=left.clock).summary(STREAM)
    assert (summary.rejected, summary.states[State.CLOSING]) == (2, 1)


async def test_the_streams_are_read(left: Book, context: OperatorContext) -> None:
    """So are what operators did, what was rejected, and the notices."""
    actions = [entry async for entry in audit.entries(context) if isinstance(entry, AuditEntry)]
    assert [(one.action.action, one.changed) for one in actions] == [("pause", 1), ("discard", 1), ("requeue", 1)]
    rejected = [one async for one in dead_letters.newest(context)]
    assert [(one.body[:8], one.refused_type) for one in rejected][1] == (b"not JSON", None)
    assert rejected[0].refused_type == "other"
    page = await left.ledger.notices.read()
    kinds = {one.kind for one in page.notices if isinstance(one, Notice)}
    assert kinds >= {NoticeKind.GATE_SHUT, NoticeKind.KEY_SUSPENDED, NoticeKind.FAILURE, NoticeKind.REJECTED}
    assert page.missed == 0


async def test_its_rejected_events_are_dealt_with(left: Book, context: OperatorContext) -> None:
    """What a release had put aside is counted on, replayed and discarded by every later one."""
    other, garbage = [one async for one in dead_letters.newest(context)]
    assert [(one.times, one.last_ms) for one in (other, garbage)] == [(1, 1795588888438), (1, 1795588888437)]
    assert await left.ledger.dead_letters.keep([Element(other.body, "2-1", Rejection(other.problems, "other"))]) == 0
    planned, _ = await plan(context, DeadLetterSelection(accept_type="other"))
    assert (await replay(context, planned, BulkOptions("because"))).received == {"new": 1}
    assert (await Catalogue(left.redis, clock=left.clock).summary(STREAM)).waiting_types == {}
    chosen = DeadLetterFilter((garbage.rejected_id,))
    frozen = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, chosen, "because")
    assert (await dead_letters.discard(context, frozen, BulkOptions("because"))).discarded == 1
    assert [one async for one in dead_letters.newest(context)] == []


async def test_the_inspection_finds_nothing(left: Book) -> None:
    """Its indexes and records fit together."""
    found = await left.inspect()
    assert (found.agenda, found.index, found.stale, found.aside, found.unknown) == (0, 0, 0, 0, 0)


async def test_it_goes_on(left: Book) -> None:
    """When the gate opens every closure that was open is closed, what has failed after a re-queue, and none else."""
    page = await Catalogue(left.redis, clock=left.clock).page(Query(), limit=1000)
    discarded = {one.reference for one in page.closures if one.state is State.DISCARDED}
    failed = [one.reference for one in page.closures if one.state is State.FAILED]
    assert set(await left.ledger.requeue(failed)) == {"done"}
    await left.open_gate("new")
    for _ in range(8):
        left.clock.forward(LEASE_S)
        await left.alive(w="new")
        for reference in await left.due(key="new"):
            await left.closed(await left.claim(reference, key="new"), key="new")
    for one in page.closures:
        state = await left.state(one.reference)
        assert state is (State.DISCARDED if one.reference in discarded else State.CLOSED), one.reference
        assert state not in OPEN_STATES
    await left.check_notices()
