"""A canary of a stored re-queue, on fakeredis and on a real Valkey: the rest follows only when all of it are closed."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.closure import Reason, State
from tasks.errors import OlderWorkers
from tasks.ledger.bulk import BulkWord
from tasks.ledger.bulk_action import BulkState
from tasks.ledger.notices import Notice
from tests.tasks.book import Book
from tests.tasks.bulking import audit_of, begin, carry, fail, read, step
from worker.operations.notice_words import words

GROUPS = [f"sg_{number}" for number in range(6)]


async def out(book: Book, canary: int = 2, **options: Any) -> str:
    """A re-queue of all groups whose canary is out."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS, canary=canary, **options)
    waiting = await carry(book, action_id)
    assert (waiting.state, waiting.waits_for, waiting.changed) == (BulkState.WAITING, "canary", canary)
    return action_id


async def test_it_goes_on_when_all_have_closed(book: Book) -> None:
    """Not before, however long some of it are retried."""
    action_id = await out(book)
    await book.closed(await book.claim("sg_0"))
    await book.settle(await book.claim("sg_1"), State.RETRYING, delay_s=1.0)
    assert (await carry(book, action_id)).waits_for == "canary"
    book.clock.forward(2)
    await book.closed(await book.claim("sg_1"))
    done = await carry(book, action_id)
    assert (done.state, done.changed, done.waits_for) == (BulkState.DONE, 6, "")


async def test_it_stops_at_the_first_that_fails(book: Book) -> None:
    """It says so with counts, also if that one is discarded; resumed, it goes on, because the operator has decided."""
    action_id = await out(book)
    await book.closed(await book.claim("sg_0"))
    await book.failed("sg_1", Reason.GONE)
    await carry(book, await begin(book, "discard", "sg_1"))
    stopped = await carry(book, action_id)
    assert (stopped.state, stopped.left) == (BulkState.STOPPED, 4)
    assert stopped.stopped_because == "1 of the 2 canary items failed again"
    ended = [one for one in (await book.ledger.notices.read()).notices if isinstance(one, Notice)][-1]
    assert (ended.fields["because"], ended.fields["action_id"]) == (stopped.stopped_because, action_id)
    assert words(ended) == "requeue by ann was stopped: 2 of 6 changed; 1 of the 2 canary items failed again"
    assert (await step(book, action_id)).word is BulkWord.STOPPED
    await book.ledger.bulk.resume(action_id, holder="", audit=audit_of("resume action"))
    assert (await carry(book, action_id)).changed == 6


async def test_one_that_has_failed_and_was_closed_later_counts_as_failed(book: Book) -> None:
    """A new event has it closed before anybody looks: the re-queue has failed all the same."""
    action_id = await out(book)
    await book.closed(await book.claim("sg_0"))
    await book.failed("sg_1")
    await book.receive("sg_1", event_id="e2")
    await book.closed(await book.claim("sg_1"))
    assert (await carry(book, action_id)).stopped_because == "1 of the 2 canary items failed again"


async def test_it_stops_after_its_time_on_the_open_clock(book: Book) -> None:
    """Time in which the gate was shut does not count."""
    action_id = await out(book, canary_wait_s=600.0)
    await book.settle(await book.claim("sg_0"), State.RETRYING, delay_s=1.0)
    await book.ledger.gate.pause(by="bob", why="upgrade")
    book.clock.forward(3000)
    assert (await carry(book, action_id)).waits_for == "gate"
    await book.ledger.gate.resume(by="bob", why="done")
    book.clock.forward(598)
    assert (await carry(book, action_id)).waits_for == "canary"
    book.clock.forward(2)
    assert (await carry(book, action_id)).stopped_because == (
        "2 of the 2 canary items are undecided after 10 min: 1 retrying, 1 waiting"
    )


async def test_held_and_discarded_items_leave_it(book: Book) -> None:
    """The others decide. When none is left that was closed, it has told nothing, and the action stops."""
    action_id = await out(book)
    await book.ledger.holds.hold(["sg_0"], by="bob", why="wait")
    assert (await carry(book, action_id)).waits_for == "canary"
    await book.ledger.holds.hold(["sg_1"], by="bob", why="wait")
    stopped = await carry(book, action_id)
    assert stopped.stopped_because == (
        "none of the 2 canary items was closed: all of them were held, discarded or recalled"
    )
    await book.ledger.holds.release(["sg_0", "sg_1"])
    await book.closed(await book.claim("sg_0"))
    assert (await read(book, action_id)).state is BulkState.STOPPED


async def test_the_rest_follows_when_one_is_held_and_one_closed(book: Book) -> None:
    """A held item does not keep the others for ever."""
    action_id = await out(book)
    await book.ledger.holds.hold(["sg_0"], by="bob", why="wait")
    await book.closed(await book.claim("sg_1"))
    assert (await carry(book, action_id)).changed == 6


async def test_items_that_have_moved_on_are_not_its(book: Book) -> None:
    """The canary is the first that are changed."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "requeue", *GROUPS, canary=2)
    await book.ledger.requeue(["sg_0"])
    waiting = await carry(book, action_id)
    assert (waiting.changed, waiting.not_done, waiting.left) == (2, {"moved on": 1}, 3)


async def test_a_canary_larger_than_all(book: Book) -> None:
    """There is nothing left to wait for."""
    await fail(book, *GROUPS)
    done = await carry(book, await begin(book, "requeue", *GROUPS, canary=100))
    assert (done.state, done.changed) == (BulkState.DONE, 6)


@pytest.mark.parametrize("late", [False, True])
async def test_older_workers_do_not_count_for_it(book: Book, late: bool) -> None:
    """Beside a worker of an older release it is refused by name; where one comes later, nothing is taken for closed."""
    await fail(book, *GROUPS)
    begun = await begin(book, "requeue", *GROUPS, canary=2) if late else ""
    await book.redis.hset("{closer}:workers", "old", f'{{"at": {book.clock.ms}, "ledger_version": 1}}')
    if not late:
        with pytest.raises(OlderWorkers, match="old"):
            await begin(book, "requeue", *GROUPS, canary=2)
        return
    stopped = await carry(book, begun)
    assert (stopped.state, stopped.changed) == (BulkState.STOPPED, 2)
