"""Steps of replays, on fakeredis and on a real Valkey: rejected events are taken off after they were received."""

from __future__ import annotations

from tasks.events.event import Rejection
from tasks.ledger.bulk import LEASE_S, BulkStep, BulkWord, Said
from tasks.ledger.bulk_action import BulkState
from tests.support import key_of
from tests.tasks.book import Book
from tests.tasks.bulking import ANN, begin, read, step


async def reject(book: Book, number: int, size: int = 1) -> list[str]:
    """Rejected events of so many bytes; their ids."""
    bodies = [b"%d" % n + b" " * size for n in range(number)]
    return [await book.ledger.dead_letters.reject(body, Rejection(("x: y",), "t"), "1-0") for body in bodies]


async def replaying(book: Book, ids: list[str]) -> str:
    """Begin a replay of these, in this order."""
    return await begin(book, "replay", items={rejected_id: place for place, rejected_id in enumerate(ids)})


async def told(book: Book, action_id: str, says: dict[str, str], holder: str = ANN) -> BulkStep:
    """Tell the step what became of the events."""
    said = [Said(rejected_id, word, "") for rejected_id, word in says.items()]
    return await book.ledger.bulk.step(action_id, "replay", holder=holder, said=said)


async def left(book: Book) -> list[str]:
    """The ids of those that are still rejected."""
    return [one.rejected_id async for one in book.ledger.dead_letters.newest()][::-1]


async def test_each_is_taken_off_after_it_was_received(book: Book) -> None:
    """A step names them in their order and changes nothing; answers take off what was received, and count the rest."""
    ids = await reject(book, 4)
    action_id = await replaying(book, ids[::-1])
    asked = await step(book, action_id)
    assert (asked.word, asked.left, asked.to_ask) == (BulkWord.RUNNING, 4, tuple((one, "") for one in ids[::-1]))
    assert await left(book) == ids
    await book.ledger.dead_letters.dismiss([ids[2]], audit="1-0")
    says = {ids[0]: "received", ids[1]: "still wrong", ids[2]: "received"}
    assert (await told(book, action_id, says)).word is BulkWord.RUNNING
    assert await left(book) == [ids[1], ids[3]]
    assert (await told(book, action_id, {ids[3]: "received"})).word is BulkWord.DONE
    done = await read(book, action_id)
    assert (done.state, done.changed, done.not_done) == (BulkState.DONE, 2, {"still wrong": 1, "gone": 1})
    assert await book.ledger.bulk.not_done(action_id, 9) == {ids[1]: "still wrong", ids[2]: "gone"}


async def test_the_last_takes_all_that_is_known_of_them(book: Book) -> None:
    """When none is left, the counts of types and of repeats are gone, too, also those that an older closer has left."""
    ids = await reject(book, 2)
    await book.redis.hset(key_of("waiting_types"), "old", "3")
    await told(book, await replaying(book, ids), dict.fromkeys(ids, "received"))
    names = [key_of(name) for name in ("rejected_same", "rejected_times", "waiting_types")]
    assert await book.redis.exists(*names) == 0


async def test_answers_of_one_that_has_lost_the_replay(book: Book) -> None:
    """They take nothing off, and answers that come twice count once."""
    ids = await reject(book, 2)
    action_id = await replaying(book, ids)
    await step(book, action_id)
    book.clock.forward(LEASE_S + 1)
    await step(book, action_id, "bob")
    assert (await told(book, action_id, dict.fromkeys(ids, "received"))).word is BulkWord.ELSEWHERE
    assert await left(book) == ids
    for _ in range(2):
        await told(book, action_id, {ids[0]: "received"}, "bob")
    found = await read(book, action_id)
    assert (found.changed, found.left) == (1, 1)


async def test_a_step_reads_a_bounded_number_of_bytes(book: Book) -> None:
    """After about a mebibyte the rest is left for the next step."""
    ids = await reject(book, 4, 600_000)
    action_id = await replaying(book, ids)
    assert (await told(book, action_id, dict.fromkeys(ids, "received"))).left == 2
    assert await left(book) == ids[2:]


async def test_the_gate_does_not_keep_a_replay(book: Book) -> None:
    """While it is shut events are received as always."""
    ids = await reject(book, 1)
    action_id = await replaying(book, ids)
    await book.ledger.gate.pause(by=ANN)
    assert len((await step(book, action_id)).to_ask) == 1


async def test_a_replay_has_no_closure_for_itself(book: Book) -> None:
    """Even a group with the name of a rejected event is nobody's."""
    ids = await reject(book, 1)
    await replaying(book, ids)
    assert await book.ledger.bulk.owner(ids[0]) is None
