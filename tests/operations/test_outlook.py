"""What `closer show` says of the future: for each state what happens next, and when."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tasks.closure import State
from tests.operations.conftest import Cli
from tests.operations.seed import Seed
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.bulking import begin, carry, fail, recall
from worker.operations.context import OperatorContext
from worker.operations.operator import Operator, Role
from worker.operations.story import story
from worker.settings import load


class Shelf:
    """A ledger, and an operator who looks at it."""

    def __init__(self, redis: Redis) -> None:
        self.book = Book(redis)
        self.context = OperatorContext.of(Operator("anna", Role.ADMIN, "test"), load(), redis)

    async def next(self) -> str:
        """What is next for sg_1."""
        found = await story(self.context, "sg_1")
        assert found is not None
        assert found.as_json()["next"] == found.next
        return found.next


@pytest.fixture
def shelf(any_store: Redis) -> Shelf:
    """An empty ledger."""
    return Shelf(any_store)


async def test_a_closure_that_goes_on(shelf: Shelf) -> None:
    """Queued, under way, waiting for its time; and the gate, when it is shut."""
    await shelf.book.receive("sg_1")
    assert await shelf.next() == "A worker attempts it as soon as one is free."
    claim = await shelf.book.claim("sg_1")
    assert await shelf.next() == "An attempt is under way."
    await shelf.book.ledger.holds.hold(["sg_1"], by="bob", why="wait")
    assert "when it has ended, nobody calls it again" in await shelf.next()
    await shelf.book.ledger.holds.release(["sg_1"])
    await shelf.book.settle(claim, State.RETRYING, delay_s=60.0)
    assert await shelf.next() == "It is attempted when its time has come, at 2023-11-14T22:14:20.001Z."
    await shelf.book.ledger.gate.pause(by="bob", why="upgrade")
    assert "while the gate is shut (paused)" in await shelf.next()


async def test_a_closure_that_has_ended(shelf: Shelf) -> None:
    """Failed, and what a bulk action will do with it; held, discarded, closed."""
    await fail(shelf.book, "sg_1")
    assert "until an operator re-queues it, or a new event" in await shelf.next()
    action_id = await begin(shelf.book, "discard", "sg_1")
    assert await shelf.next() == f"Action {action_id} will discard it, and counts it among its items until then."
    await shelf.book.redis.zadd(key_of("actions:open"), {"other": 0})
    assert action_id in await shelf.next()
    await carry(shelf.book, action_id)
    assert "it was given up" in await shelf.next()
    await carry(shelf.book, await recall(shelf.book, action_id))
    await shelf.book.ledger.holds.hold(["sg_1"], by="bob", why="wait")
    assert await shelf.next() == "Nobody calls it until it is released."
    await shelf.book.ledger.holds.release(["sg_1"])
    await carry(shelf.book, await begin(shelf.book, "requeue", "sg_1"))
    await shelf.book.closed(await shelf.book.claim("sg_1"))
    assert await shelf.next() == "Nothing: its group is closed."


async def test_a_claim_that_is_recalled(shelf: Shelf) -> None:
    """It says which action takes it back, and when."""
    await fail(shelf.book, "sg_1")
    action_id = await begin(shelf.book, "requeue", "sg_1")
    await carry(shelf.book, action_id)
    await shelf.book.claim("sg_1")
    recall_id = await recall(shelf.book, action_id)
    await carry(shelf.book, recall_id)
    assert f"When it ends without a call, action {recall_id} takes the re-queue back" in await shelf.next()


def test_the_timeline_names_the_action(cli: Cli) -> None:
    """People and programs see which stored action did it, and what is next."""
    cli.sow([Seed("sg_1")])
    done = cli.json("hold", "sg_2", "--why", "wait")
    text = cli.text("show", "sg_2")
    assert f"closer actions show {done['id']}" in text
    assert "What is next  Nobody calls it until it is released." in text
    assert cli.json("show", "sg_2")["actions"][0]["action_id"] == done["id"]
