"""What task messages name is closed; what cannot be is kept as rejected, and holds up no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.closure import State
from tasks.envelope import Envelope
from tasks.errors import NotTaken
from tasks.events.batch import Element
from tasks.events.event import Event, GroupComplete, Rejection
from tasks.ledger.entries import written_ms
from tasks.ledger.ledger import Ledger
from tasks.ledger.tally import Intake
from tasks.ledger.values import Received
from tasks.task_message import TASK_NAME, Aside, read
from tests.support import key_of, until_soon
from tests.worker.works import Works
from worker.attempts.batches import Batches
from worker.intake.task_message import TaskMessageDoor

NOW = datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("references", "problems"),
    [
        ("sg_1", 0),
        (["sg_1", "a/b", 7, None, ["sg_2"], {}], 5),
        ({"args": ["sg_1"]}, 1),
        (None, 1),
        ([], 0),
        (["\ud800", float("nan"), "x" * 129], 3),
    ],
)
async def test_poison(works: Callable[..., Works], let: asyncio.Event, references: Any, problems: int) -> None:
    """What is not a reference is put aside with its value and why, and the rest of the batch is closed."""
    let.set()
    work = works()
    await work.batches.claim(references, "task-1")
    good = 1 if references and "sg_1" in references else 0
    await until_soon(lambda: work.settler.settled == good)
    rejected: Any = await work.redis.xrange(key_of("rejected"))
    assert len(rejected) == problems
    assert all(fields[b"problems"].startswith(b'["references') for _, fields in rejected)
    assert all(fields[b"origin"].startswith(b"task task-1") for _, fields in rejected)


class Shut:
    """A door that nothing may come to."""

    async def keep(self, batch: Any, origin: str) -> list[str]:
        """Fail."""
        raise AssertionError(batch)

    async def receive(self, references: Sequence[str], origin: str) -> None:
        """Fail."""
        raise AssertionError(references)


async def test_what_the_ledger_knows_comes_to_no_door(works: Callable[..., Works], let: asyncio.Event) -> None:
    """Groups of a message that closer has sent are claimed as they are, whatever state they are in."""
    let.set()
    work = works()
    await work.ledger.receive([GroupComplete(ref, "s", ref) for ref in ("sg_1", "sg_2")])
    batches = Batches(work.pool, Shut(), asyncio.Event())
    for _ in range(2):
        await batches.claim(["sg_1", "sg_2"], "task-1")
        await until_soon(lambda: work.settler.settled == 2)
    assert await work.states() == {State.CLOSED: {"sg_1", "sg_2"}}
    with pytest.raises(AssertionError, match="sg_3"):
        await batches.claim(["sg_1", "sg_3"], "task-1")


async def test_a_batch_waits_until_the_worker_is_known(works: Callable[..., Works], let: asyncio.Event) -> None:
    """Before that nothing is claimed, and it is told as an outage; then the batch is claimed by itself."""
    let.set()
    work = works()
    introduced, taken = asyncio.Event(), list[str]()
    batches = Batches(work.pool, TaskMessageDoor(work.ledger), introduced, lambda: taken.append("taken"))
    waiting = asyncio.create_task(batches.claim_when_possible(["sg_1"], "task-1"))
    await until_soon(lambda: batches.outages.text == "the ledger does not know this worker yet")
    assert (await work.states(), taken) == ({}, [])
    introduced.set()
    await waiting
    assert (batches.outages.text, taken) == ("", ["taken"])


async def test_a_batch_that_waits_goes_back_when_the_process_stops(works: Callable[..., Works]) -> None:
    """Its message must stay in the queue."""
    work = works()
    batches = Batches(work.pool, TaskMessageDoor(work.ledger), asyncio.Event())
    waiting = asyncio.create_task(batches.claim_when_possible(["sg_1"], "task-1"))
    await until_soon(lambda: batches.outages.text != "")
    await work.pool.drain()
    with pytest.raises(NotTaken, match="does not know this worker"):
        await waiting


async def test_a_poisonous_origin(works: Callable[..., Works], let: asyncio.Event) -> None:
    """A foreign task's id may be any text: half characters and separators in it stop nothing."""
    let.set()
    work = works()
    await work.batches.claim(["sg_1", "a/b"], "id \ud800 | \x00\n")
    await until_soon(lambda: work.settler.settled == 1)
    assert await work.states() == {State.CLOSED: {"sg_1"}}
    assert await work.redis.xlen(key_of("rejected")) == 1


async def test_the_same_bytes_in_one_message(works: Callable[..., Works], store: Any) -> None:
    """Each place of a message counts once, also when the message comes again after a crash; the bytes are kept once."""
    work = works()
    message = read(Envelope(b'[[["a/b", "a/b", "c d", "a/b"]], {}, {}]', {"task": TASK_NAME, "id": "task-1"}), NOW)
    for _ in range(2):
        await work.batches.claim(list(message.aside), message.task_id)
    letters = {one.body: one async for one in work.ledger.dead_letters.newest()}
    assert {body: one.times for body, one in letters.items()} == {b'"a/b"': 3, b'"c d"': 1}
    first = letters[b'"a/b"']
    assert (first.origin, first.problems) == ("task task-1/0", (message.aside[0].problem,))
    assert first.last_ms >= written_ms(first.rejected_id)
    await work.batches.claim(list(message.aside), "task-2")
    assert {one.body: one.times async for one in work.ledger.dead_letters.newest()} == {b'"a/b"': 6, b'"c d"': 2}


async def test_all_that_is_put_aside_is_kept_in_one_step(works: Callable[..., Works], store: Any) -> None:
    """A hundred wrong references of one message cost the store one script."""
    work = works()
    await work.ledger.dead_letters.keep([Element(b"x", "x", Rejection(("x",)))])  # so the store knows the script
    before = store.info("commandstats")["cmdstat_evalsha"]["calls"]
    await work.batches.claim([Aside(b"%d" % number, "why") for number in range(100)], "task-1")
    assert store.xlen(key_of("rejected")) == 101
    assert store.info("commandstats")["cmdstat_evalsha"]["calls"] - before == 1


class PoisonedLedger(Ledger):
    """A ledger whose script really fails for one group that it does not know."""

    async def receive(self, events: Sequence[Event], *, intake: Intake = Intake.STREAM) -> list[Received]:
        """Receive."""
        return await super().receive(
            [replace(event, event_id="\ud800") if event.reference == "poison" else event for event in events],
            intake=intake,
        )


async def test_a_group_that_cannot_be_received(works: Callable[..., Works], let: asyncio.Event, store: Any) -> None:
    """It is kept as rejected with its reference, and the others of its task message are received and closed."""
    let.set()
    work = works()
    batches = Batches(work.pool, TaskMessageDoor(PoisonedLedger(work.redis)), asyncio.Event())
    await batches.claim(["sg_1", "poison", "sg_2"], "task-1")
    await until_soon(lambda: work.settler.settled == 2)
    assert await work.states() == {State.CLOSED: {"sg_1", "sg_2"}}
    [(_, fields)] = store.xrange(key_of("rejected"))
    assert fields[b"event"] == b'{"reference": "poison"}'
    assert b"it cannot be received" in fields[b"problems"]
