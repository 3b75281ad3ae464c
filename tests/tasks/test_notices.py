"""Notices: each change that somebody may want to be told of is written once, in the step that makes it."""

from __future__ import annotations

import json

import pytest
from redis.asyncio import Redis

from tasks.api_health import ApiHealth
from tasks.closure import Reason, State
from tasks.events.event import Rejection
from tasks.ledger.ledger import Ledger
from tasks.ledger.notices import Notice, NoticeKind, Notices
from tests.support import key_of
from tests.tasks.book import LEASE_S, START_MS, Book
from tests.tasks.noticed import KEY, TOLD, fail, kinds, reject, told


async def refused(book: Book, reference: str, key: str = "") -> None:
    """A call for this group is refused with 401."""
    await book.receive(reference)
    await book.settle(await book.claim(reference, key=key), State.QUEUED, key=key, health=ApiHealth.UNAUTHORISED)


async def test_a_pause(book: Book, notices: Notices) -> None:
    """Who has shut the gate, and why; and for how long it was shut. What changes nothing is not told."""
    await book.ledger.gate.pause(by="ann", why="stocktaking")
    await book.ledger.gate.pause(by="ben", why="again")
    book.clock.forward(60)
    await book.ledger.gate.resume(by="ann", why="done")
    await book.ledger.gate.resume(by="ann", why="done")
    assert await told(notices) == [
        (NoticeKind.GATE_SHUT, {"reason": "paused", "by": "ann", "why": "stocktaking"}),
        (NoticeKind.GATE_OPENED, {"reason": "paused", "shut_ms": 60_000}),
    ]


async def test_a_gate_that_is_shut_and_open_again_before_anybody_looks(book: Book, notices: Notices) -> None:
    """A Retry-After that is over by itself has both notices, with the time that the API asked for."""
    before = await notices.read()
    await book.ledger.gate.throttle(2)
    book.clock.forward(3)
    await book.due()
    page = await notices.read(after=before.cursor)
    shut, opened = page.notices
    assert isinstance(shut, Notice)
    assert isinstance(opened, Notice)
    assert (shut.kind, shut.at_ms, shut.fields["reason"]) == (NoticeKind.GATE_SHUT, START_MS, "throttled")
    assert shut.fields["till"] == START_MS + 2001
    assert (opened.kind, opened.fields["reason"]) == (NoticeKind.GATE_OPENED, "throttled")


async def test_reasons_side_by_side(book: Book, notices: Notices) -> None:
    """Each reason is told when it begins and when it ends; the gate opens with the last."""
    await book.ledger.gate.throttle(2)
    await book.ledger.gate.pause(by="ann", why="x")
    book.clock.forward(3)
    await book.due()
    await book.ledger.gate.resume(by="ann", why="x")
    assert await kinds(notices) == ["gate_shut", "gate_shut", "gate_reason_over", "gate_opened"]


async def test_a_key(book: Book, notices: Notices) -> None:
    """A key that is refused, and accepted again by its probe, with the gate that this shuts and opens."""
    await book.alive(w1="k")
    await refused(book, "sg_1", "k")
    book.clock.forward(16)
    await book.alive(w1="k")
    [probe] = await book.due(key="k")
    await book.closed(await book.claim(probe, key="k"), key="k")
    assert await kinds(notices) == ["key_suspended", "gate_shut", "key_accepted", "gate_opened"]
    assert (await told(notices))[0][1] == {"key": "k", "cause": "the API refuses it with 401"}


async def test_a_key_that_nobody_has_any_more(book: Book, notices: Notices) -> None:
    """It is told as forgotten, not as accepted."""
    await book.alive(w1="k", w2="good")
    await refused(book, "sg_1", "k")
    book.clock.forward(3700)
    await book.alive(w2="good")
    assert await kinds(notices) == ["key_suspended", "key_forgotten"]


async def test_the_first_failure_of_a_reason(book: Book, notices: Notices) -> None:
    """The first for each reason is told; further ones are not, until none has come for an hour."""
    await fail(book, "sg_1", "sg_2")
    await fail(book, "sg_3", reason=Reason.NOT_LOCKED)
    book.clock.forward(3599)
    await fail(book, "sg_4")
    book.clock.forward(3601)
    await fail(book, "sg_5")
    assert await told(notices) == [
        (NoticeKind.FAILURE, {"reason": "gone", "reference": "sg_1"}),
        (NoticeKind.FAILURE, {"reason": "not_locked", "reference": "sg_3"}),
        (NoticeKind.FAILURE, {"reason": "gone", "reference": "sg_5"}),
    ]


async def test_a_failure_after_all_were_dealt_with(book: Book, notices: Notices) -> None:
    """When none stands failed any more the next one is told; one group that fails again and again once a minute."""
    await fail(book, "sg_1")
    for _ in range(3):
        await book.ledger.requeue(["sg_1"])
        await book.failed("sg_1")
    assert await kinds(notices) == ["failure"]
    await book.ledger.discard(["sg_1"])
    book.clock.forward(60)
    await fail(book, "sg_2")
    assert await kinds(notices) == ["failure", "failure"]


async def test_rejected_events(book: Book, notices: Notices) -> None:
    """The first of a run is told, then one in ten minutes at most, with how many are kept."""
    [first, *_] = await reject(book, 50)
    book.clock.forward(599)
    await reject(book, 1)
    book.clock.forward(1)
    [later] = await reject(book, 1)
    assert await told(notices) == [
        (NoticeKind.REJECTED, {"id": first, "problem": "reference: is missing", "waiting": 1}),
        (NoticeKind.REJECTED, {"id": later, "problem": "reference: is missing", "waiting": 1}),
    ]


@pytest.mark.parametrize("problems", [("ü" * 200,), ()], ids=["long", "none"])
async def test_a_rejected_event_with_an_odd_problem(book: Book, notices: Notices, problems: tuple[str, ...]) -> None:
    """A problem that is too long for a notice, or not told, is left out, and the event is kept all the same."""
    rejected_id = await book.ledger.dead_letters.reject(b"x", Rejection(problems), "test")
    assert await told(notices) == [(NoticeKind.REJECTED, {"id": rejected_id, "waiting": 1})]


async def test_what_another_program_wrote_into_the_agenda(book: Book, notices: Notices) -> None:
    """It is kept as a rejected event, and told like one."""
    await book.redis.zadd(key_of("agenda"), {"no/reference": 1})
    await book.due()
    assert await kinds(notices) == ["rejected"]


async def test_damage(book: Book, notices: Notices) -> None:
    """What the inspection puts right is told when it begins and when it has looked at everything."""
    await book.receive("sg_1")
    await book.redis.delete(key_of("agenda"))
    await book.inspect()
    (begun, _), (ended, fields) = await told(notices)
    assert (begun, ended) == (NoticeKind.LEDGER_DAMAGED, NoticeKind.LEDGER_REBUILT)
    assert fields == {"agenda": 1, "index": 0, "stale": 0, "aside": 0, "unknown": 0}


async def test_a_move_to_another_api(book: Book, notices: Notices) -> None:
    """From where to where, and by whom; a move that was refused is not told."""
    await Ledger(book.redis, api="https://old", clock=book.clock).policy.hold_api()
    await book.ledger.heartbeats.write("w1", {"api": "https://old"})
    await book.ledger.policy.move_api("https://new", by="ann", why="moved")
    assert await told(notices) == []
    await book.ledger.heartbeats.write("w1")
    await book.ledger.policy.move_api("https://new", by="ann", why="moved")
    fields = {"from": "https://old", "to": "https://new", "by": "ann", "why": "moved"}
    assert await told(notices) == [(NoticeKind.API_MOVED, fields)]


async def test_nothing_is_spent_where_nothing_happens(book: Book, real: Redis) -> None:
    """Work that goes well touches neither the notices nor what was told."""
    book = Book(real)
    seen: list[str] = []
    async with real.monitor() as monitor:
        for reference in ("sg_1", "sg_2"):
            await book.receive(reference)
            await book.due()
            await book.closed(await book.claim(reference))
        await book.alive(w1="k")
        await book.ledger.inspector.step(lease_s=LEASE_S)
        await real.ping()
        async for command in monitor.listen():
            seen.append(json.dumps(command))
            if "PING" in seen[-1]:
                break
    assert len(seen) > 50
    assert not [line for line in seen if KEY in line or TOLD in line]


async def test_what_no_script_does(book: Book, notices: Notices) -> None:
    """A bulk action's end is told by whoever has done it, and is numbered like the others."""
    await book.ledger.gate.pause()
    fields = {"action": "requeue", "by": "ann", "why": "ü", "id": "1-1", "matched": 3, "changed": 2, "stopped": True}
    await notices.tell(NoticeKind.ACTION_ENDED, fields)
    assert (await told(notices))[1] == (NoticeKind.ACTION_ENDED, fields)


async def test_a_notice_for_other_programs(book: Book, notices: Notices) -> None:
    """As JSON a notice has its number, its time in ISO 8601, its kind and its fields."""
    await book.ledger.gate.pause(by="ann", why="x")
    [one] = await notices.latest(1)
    assert isinstance(one, Notice)
    fields = {"reason": "paused", "by": "ann", "why": "x"}
    assert one.as_json() == {"number": 1, "at": "2023-11-14T22:13:20.000Z", "kind": "gate_shut", "fields": fields}
