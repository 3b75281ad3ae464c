"""Cancel events, on fakeredis and on a real Valkey: they hold groups, and nothing is closed that was cancelled last."""

from __future__ import annotations

import json

import pytest

from tasks.closure import Reason, State
from tasks.ledger.holds import HoldWord
from tasks.ledger.values import Claim, Unclaimed
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, LEASE_S, Book
from tests.tasks.cancelling import cancelled, complete, receive
from tests.tasks.holding import assert_not_called, claim, hold, release

WEEK_S = 7 * 86_400


async def test_a_cancel_event_holds_a_known_group(book: Book) -> None:
    """Who, which event and since when are told; a later complete event of the source frees it for a whole deadline."""
    assert await receive(book, complete(1)) == ["new"]
    book.clock.forward(100)
    assert await receive(book, cancelled(2)) == ["cancelled"]
    found = (await book.read("sg_1")).hold
    assert found is not None
    assert (found.source, found.event_id, found.at_ms, found.cancels) == ("wms", "x2", book.clock.ms, ("wms",))
    assert await book.state("sg_1") is State.HELD
    await assert_not_called(book)
    assert await receive(book, complete(3)) == ["released"]
    assert await book.state("sg_1") is State.QUEUED
    assert (await book.read("sg_1")).hold is None
    assert (await book.claim("sg_1")).remaining_s == DEADLINE_S


@pytest.mark.parametrize("state", [State.QUEUED, State.RETRYING, State.FAILED])
async def test_every_unclosed_state(book: Book, state: State) -> None:
    """A queued, retrying or failed closure is held; a person's release gives it its state back."""
    await receive(book, complete(1))
    if state is State.RETRYING:
        await book.settle(await book.claim("sg_1"), State.RETRYING, delay_s=5.0)
    elif state is State.FAILED:
        await book.failed("sg_1", Reason.NOT_LOCKED)
    assert await receive(book, cancelled(2)) == ["cancelled"]
    await assert_not_called(book)
    assert await release(book) is HoldWord.RELEASED
    assert await book.state("sg_1") is (State.FAILED if state is State.FAILED else State.QUEUED)


@pytest.mark.parametrize(
    ("event", "freed"),
    [
        (complete(3), True),
        (complete(2), False),
        (complete(1), False),
        (complete(None), False),
        (complete(3, source="other"), False),
    ],
)
@pytest.mark.parametrize("known", [True, False])
async def test_what_frees(book: Book, known: bool, event: object, freed: bool) -> None:
    """Only a complete event of the same source with a later time; every other one is remembered until the release."""
    if known:
        await receive(book, complete(0, event_id="first"))
    await receive(book, cancelled(2))
    [word] = await receive(book, event)  # type: ignore[arg-type]
    if freed:
        assert word == "released"
        assert isinstance(await claim(book), Claim)
        return
    assert word == "held"
    await assert_not_called(book)
    assert await release(book) is HoldWord.RELEASED
    assert isinstance(await claim(book), Claim)


async def test_the_order_within_a_batch(book: Book) -> None:
    """Events of one call are done in their order, and their times decide."""
    assert await receive(book, complete(1), cancelled(2)) == ["new", "cancelled"]
    assert await receive(book, cancelled(4), complete(5), cancelled(6)) == ["cancelled", "released", "cancelled"]
    await assert_not_called(book)
    assert await receive(book, complete(7)) == ["released"]


async def test_events_out_of_order(book: Book) -> None:
    """A cancel event that is older than a complete event of its source changes nothing; one of the same time holds."""
    assert await receive(book, complete(5), cancelled(4)) == ["new", "outdated"]
    assert await book.state("sg_1") is State.QUEUED
    assert await receive(book, cancelled(5)) == ["cancelled"]
    assert await receive(book, complete(9), cancelled(8)) == ["released", "outdated"]
    assert await receive(book, cancelled(3, source="other")) == ["cancelled"]
    assert [one.word for one in (await book.read("sg_1")).cancels] == ["outdated", "cancelled", "outdated", "cancelled"]


async def test_a_cancel_event_without_a_time(book: Book) -> None:
    """It holds whatever came before, and no event frees it, however late its time; a person does."""
    await receive(book, complete(5))
    assert await receive(book, cancelled(None), cancelled(6), complete(10**6)) == ["cancelled", "cancelled", "held"]
    await assert_not_called(book)
    assert await release(book) is HoldWord.RELEASED


async def test_an_unreasonable_time_is_none(book: Book) -> None:
    """A complete event of the year 9999 frees nothing."""
    await receive(book, cancelled(1))
    assert await receive(book, complete(250_000_000_000)) == ["held"]


async def test_a_cancel_event_that_comes_again(book: Book) -> None:
    """It counts once: after a later complete event, and after a person's release, it does not hold the group again."""
    await receive(book, complete(1), cancelled(2))
    assert await receive(book, cancelled(2)) == ["duplicate"]
    await receive(book, complete(3))
    assert await receive(book, cancelled(2)) == ["duplicate"]
    await receive(book, cancelled(4))
    await release(book)
    assert await receive(book, cancelled(4)) == ["duplicate"]
    assert await book.state("sg_1") is State.QUEUED
    assert await receive(book, cancelled(4, event_id="new")) == ["cancelled"]


async def test_it_comes_again_for_a_group_that_was_forgotten(book: Book) -> None:
    """A person's release of a group that no complete event has named forgets the group, but not the cancel event."""
    await receive(book, cancelled(1))
    assert await release(book) is HoldWord.FORGOTTEN
    assert await receive(book, cancelled(1)) == ["duplicate"]
    assert await book.ledger.read(["sg_1"]) == [None]


async def test_a_complete_event_with_the_id_of_a_cancel_event(book: Book) -> None:
    """The two kinds of events have identities of their own: a warehouse may name both by the group."""
    assert await receive(book, complete(1, event_id="sg_1"), cancelled(2, event_id="sg_1")) == ["new", "cancelled"]
    await receive(book, complete(3))
    assert await receive(book, cancelled(4, event_id="later")) == ["cancelled"]


async def test_an_unknown_group_is_remembered_for_a_week(book: Book) -> None:
    """It is held beforehand and shown; a week after its last cancel event it is forgotten, and its event closes it."""
    assert await receive(book, cancelled(1)) == ["cancelled"]
    assert await book.state("sg_1") is State.HELD
    assert await claim(book) is Unclaimed.UNKNOWN
    book.clock.forward(WEEK_S - 100)
    assert await receive(book, cancelled(2)) == ["cancelled"]
    book.clock.forward(200)
    await book.ledger.prune(keep_s=90 * 86_400)
    assert await book.state("sg_1") is State.HELD
    book.clock.forward(WEEK_S)
    assert await book.ledger.prune(keep_s=90 * 86_400) == 2
    assert await book.ledger.read(["sg_1"]) == [None]
    assert await book.redis.exists(key_of("holds"), key_of("cancels"), key_of("cancelled"), key_of("held")) == 0
    assert (await book.inspect()).happened == ""
    assert await receive(book, complete(3)) == ["new"]


@pytest.mark.parametrize("how", ["person", "take over", "event"])
async def test_what_is_not_forgotten(book: Book, how: str) -> None:
    """A group that a person holds, or that a complete event has named, stays held for longer than a week."""
    if how == "person":
        await hold(book)
    await receive(book, cancelled(2))
    if how == "take over":
        assert (await hold(book)).word is HoldWord.HELD
    elif how == "event":
        await receive(book, complete(1))
    book.clock.forward(WEEK_S + 1)
    await book.ledger.prune(keep_s=90 * 86_400)
    assert await book.state("sg_1") is State.HELD


async def test_no_event_frees_a_persons_hold(book: Book) -> None:
    """Whether the person held first, or took over the hold of an event: only a release ends it."""
    await receive(book, complete(1, reference="sg_1"), complete(1, reference="sg_2"))
    await hold(book, "sg_1")
    await receive(book, cancelled(2, reference="sg_1"), cancelled(2, reference="sg_2"))
    assert (await hold(book, "sg_1")).word is HoldWord.ALREADY
    assert (await hold(book, "sg_2")).word is HoldWord.HELD
    for reference in ("sg_1", "sg_2"):
        found = (await book.read(reference)).hold
        assert found is not None
        assert (found.by, found.source, found.cancels) == ("anna", None, ("wms",))
        assert await receive(book, complete(3, reference=reference)) == ["held"]
        found = (await book.read(reference)).hold
        assert found is not None
        assert found.cancels == ()
        await assert_not_called(book, reference)
        assert await release(book, reference) is HoldWord.RELEASED
        await book.closed(await book.claim(reference))


async def test_several_sources_cancel(book: Book) -> None:
    """The group is freed when the last of them says that it is complete; of very many only a person frees it."""
    await receive(book, complete(1), cancelled(2), cancelled(3, source="erp"))
    assert await receive(book, complete(9)) == ["held"]
    found = (await book.read("sg_1")).hold
    assert found is not None
    assert found.source == "erp"
    assert await receive(book, complete(8, source="erp")) == ["released"]
    many = [f"s{number}" for number in range(20)]
    await receive(book, *(cancelled(10, source=source) for source in many))
    await receive(book, *(complete(20, source=source) for source in many))
    await assert_not_called(book)
    assert await release(book) is HoldWord.RELEASED


@pytest.mark.parametrize("freed", [True, False])
async def test_an_attempt_under_way(book: Book, freed: bool) -> None:
    """The hold is a mark that takes effect when the attempt ends, unless a later complete event has ended it before."""
    await receive(book, complete(1))
    claimed = await book.claim("sg_1")
    assert await receive(book, cancelled(2)) == ["cancelled"]
    assert await book.state("sg_1") is State.CLOSING
    if freed:
        assert await receive(book, complete(3)) == ["released"]
    await book.settle(claimed, State.RETRYING, delay_s=5.0)
    assert await book.state("sg_1") is (State.RETRYING if freed else State.HELD)


async def test_a_discarded_group(book: Book) -> None:
    """Nothing would call it, so it is not held; what came is noted."""
    await receive(book, complete(1))
    await book.failed("sg_1")
    await book.ledger.discard(["sg_1"])
    assert await receive(book, cancelled(2)) == ["discarded"]
    assert await book.state("sg_1") is State.DISCARDED


async def test_none_while_an_older_worker_is_alive(book: Book) -> None:
    """It would close the group all the same: the event is refused by name, and others of the same call are received."""
    said = json.dumps({"at": book.clock.ms, "ledger_version": 1})
    await book.redis.hset(key_of("workers"), "old@host", said)
    words = await book.ledger.receive([complete(1), cancelled(2)])
    assert [word.value for word in words] == ["new", "cancel refused"]
    assert "older release" in str(words[1].problem)
    assert await book.state("sg_1") is State.QUEUED
    book.clock.forward(61)
    assert await receive(book, cancelled(2)) == ["cancelled"]
    assert await book.redis.hget(key_of("gate"), "version") == b"2"


async def test_many_cancel_events_for_one_group(book: Book) -> None:
    """The record keeps the last sixteen of them, and the times of sixteen sources."""
    for number in range(20):
        await receive(book, complete(number + 100, source=f"s{number}"), cancelled(number))
    assert len((await book.read("sg_1")).cancels) == 16
    record = json.loads(await book.redis.get(key_of("c:sg_1")) or b"")
    assert len(record["ct"]) == 16


async def test_the_clock_is_set_forward(book: Book) -> None:
    """A jump of the store's clock ends no week early: see also `test_clock.py`."""
    await receive(book, cancelled(1))
    await book.redis.hset(key_of("gate"), "moved", str((WEEK_S + 1) * 1000))
    book.clock.forward(WEEK_S + 1)
    await book.ledger.prune(keep_s=90 * 86_400)
    assert await book.state("sg_1") is State.HELD


async def test_a_lease_that_ends_without_a_word(book: Book) -> None:
    """The group is held, and its state is asked for."""
    await receive(book, complete(1))
    await book.claim("sg_1")
    book.clock.forward(LEASE_S)
    assert await receive(book, cancelled(2)) == ["cancelled"]
    assert await book.state("sg_1") is State.HELD
    assert await book.ledger.holds.to_ask(10, again_s=60) == ["sg_1"]
