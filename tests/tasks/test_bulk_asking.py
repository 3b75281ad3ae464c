"""Steps of actions that ask the API first, on fakeredis and on a real Valkey: what they name, what an answer does."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.closure import Outcome, Reason, State
from tasks.ledger.bulk import LEASE_S, BulkStep, BulkWord, Said
from tasks.ledger.bulk_action import BulkState
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.bulking import ANN, begin, carry, fail, read, states, step

GROUPS = ["sg_0", "sg_1", "sg_2"]


async def told(book: Book, action_id: str, step_: BulkStep, says: dict[str, str], holder: str = ANN) -> BulkStep:
    """Tell the step what the API says."""
    verb = (await read(book, action_id)).verb
    said = [Said(reference, says[reference], given) for reference, given in step_.to_ask if reference in says]
    return await book.ledger.bulk.step(action_id, verb, holder=holder, said=said)


@pytest.mark.parametrize(
    ("verb", "options", "after"),
    [
        ("verify", {}, [State.CLOSED, State.FAILED, State.FAILED]),
        ("requeue", {"ask": True}, [State.CLOSED, State.QUEUED, State.QUEUED]),
        ("discard", {"ask": True}, [State.CLOSED, State.DISCARDED, State.DISCARDED]),
    ],
)
async def test_nothing_is_done_before_it_is_answered(
    book: Book, verb: str, options: dict[str, Any], after: list[State]
) -> None:
    """A step without answers names what is to be asked for; an item without an answer is left, and asked for again."""
    await fail(book, *GROUPS)
    action_id = await begin(book, verb, *GROUPS, **options)
    asked = await step(book, action_id)
    assert (asked.word, asked.left, asked.looked) == (BulkWord.RUNNING, 3, 0)
    assert asked.to_ask == tuple((reference, "") for reference in GROUPS)
    assert await states(book, *GROUPS) == [State.FAILED] * 3
    assert (await told(book, action_id, asked, {"sg_0": "closed", "sg_1": "locked"})).left == 1
    asked = await step(book, action_id)
    assert [reference for reference, _ in asked.to_ask] == ["sg_2"]
    assert (await told(book, action_id, asked, {"sg_2": "timeout"})).word is BulkWord.DONE
    assert await states(book, *GROUPS) == after
    assert (await book.read("sg_0")).outcome is Outcome.ALREADY_CLOSED


async def test_what_a_verify_counts(book: Book) -> None:
    """Those that agree are only counted, what cannot be told is named, and those closed only here are listed."""
    await fail(book, *GROUPS)
    await book.receive("mine")
    await book.closed(await book.claim("mine"))
    closed_ms = (await book.read("mine")).entered_ms
    action_id = await begin(
        book, "verify", *GROUPS, "mine", "never", items=dict.fromkeys([*GROUPS, "mine", "never"], 0)
    )
    asked = await step(book, action_id)
    assert dict(asked.to_ask)["mine"] == str(closed_ms)
    assert "never" not in dict(asked.to_ask)
    await told(book, action_id, asked, {"sg_0": "closed", "sg_1": "open", "sg_2": "timeout", "mine": "locked"})
    done = await read(book, action_id)
    assert (done.state, done.changed) == (BulkState.DONE, 2)
    assert done.not_done == {"unknown": 1, "agree": 1, "timeout": 1}
    assert await book.ledger.bulk.not_done(action_id, 10) == {"never": "unknown", "sg_2": "timeout"}
    assert await book.ledger.bulk.reopened(action_id) == ["mine"]
    assert (await book.read("mine")).reason is Reason.REOPENED


async def test_a_damaged_record_is_not_asked_for(book: Book) -> None:
    """It is counted as unreadable, as elsewhere."""
    await fail(book, "sg_0")
    action_id = await begin(book, "verify", "sg_0")
    await book.redis.set(key_of("c:sg_0"), "not JSON")
    assert (await step(book, action_id)).to_ask == ()
    assert (await read(book, action_id)).not_done == {"unreadable": 1}


async def test_answers_of_one_that_has_lost_the_action(book: Book) -> None:
    """They change nothing: whoever has taken it over asks again."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "verify", *GROUPS)
    asked = await step(book, action_id)
    book.clock.forward(LEASE_S + 1)
    again = await step(book, action_id, "bob")
    assert again.to_ask == asked.to_ask
    assert (await told(book, action_id, asked, dict.fromkeys(GROUPS, "closed"))).word is BulkWord.ELSEWHERE
    assert await states(book, *GROUPS) == [State.FAILED] * 3
    await told(book, action_id, again, dict.fromkeys(GROUPS, "closed"), "bob")
    assert (await read(book, action_id)).changed == 3


async def test_answers_that_come_twice(book: Book) -> None:
    """The second time there is nothing left to do: an item is counted once."""
    await fail(book, *GROUPS)
    action_id = await begin(book, "verify", *GROUPS)
    asked = await step(book, action_id)
    for _ in range(2):
        await told(book, action_id, asked, {"sg_0": "closed"})
    found = await read(book, action_id)
    assert (found.changed, found.left) == (1, 2)


async def test_what_moves_on_while_it_is_asked_for(book: Book) -> None:
    """A re-queue leaves it alone; a verify does not reopen what was closed after the question."""
    await fail(book, "sg_0")
    requeue, verify = await begin(book, "requeue", "sg_0", ask=True), await begin(book, "verify", "sg_0")
    first, second = await step(book, requeue), await step(book, verify)
    await book.ledger.requeue(["sg_0"])
    await book.closed(await book.claim("sg_0"))
    await told(book, requeue, first, {"sg_0": "closed"})
    await told(book, verify, second, {"sg_0": "locked"})
    assert (await read(book, requeue)).not_done == {"moved on": 1}
    assert (await read(book, verify)).not_done == {"moved on": 1}
    assert await book.state("sg_0") is State.CLOSED


async def test_a_verify_has_no_item_for_itself(book: Book) -> None:
    """A re-queue of the same groups does not wait for it."""
    await fail(book, "sg_0")
    await begin(book, "verify", "sg_0")
    assert await book.ledger.bulk.owner("sg_0") is None
    assert (await carry(book, await begin(book, "requeue", "sg_0"))).changed == 1


async def test_the_gate(book: Book) -> None:
    """While it is shut nothing is asked, unless the operator said so; a Retry-After counts; so do answers."""
    await fail(book, *GROUPS)
    plain, all_the_same = await begin(book, "verify", *GROUPS), await begin(book, "verify", *GROUPS, while_shut=True)
    asked = await step(book, plain)
    await book.ledger.gate.pause(by=ANN)
    waiting = await step(book, plain)
    assert (waiting.word, waiting.to_ask) == (BulkWord.WAITING, ())
    assert (await read(book, plain)).waits_for == "gate"
    assert len((await step(book, all_the_same)).to_ask) == 3
    assert (await told(book, plain, asked, {"sg_0": "closed"})).left == 2
    await book.ledger.gate.throttle(60.0)
    assert (await step(book, all_the_same)).word is BulkWord.WAITING
    await book.ledger.gate.resume(by=ANN)
    book.clock.forward(61)
    assert len((await step(book, plain)).to_ask) == 2
