"""Cancel events that come too late, and damage, on both stores: what is lost or late changes no group and is told."""

from __future__ import annotations

import json

import pytest

from tasks.closure import State
from tasks.ledger.holds import HoldWord
from tasks.ledger.notices import Notice, NoticeKind
from tasks.ledger.values import Claim
from tests.support import STREAM, key_of
from tests.tasks.book import Book
from tests.tasks.cancelling import cancelled, complete, receive
from tests.tasks.holding import claim, release

WEEK_S = 7 * 86_400


async def late_notices(book: Book) -> list[Notice]:
    """The notices of cancel events that came too late."""
    page = await book.ledger.notices.read(limit=1000)
    return [one for one in page.notices if isinstance(one, Notice) and one.kind is NoticeKind.CANCEL_TOO_LATE]


@pytest.mark.parametrize("when", ["after", "under way"])
async def test_a_cancel_event_that_comes_too_late(book: Book, when: str) -> None:
    """The group stays closed; a notice, the closure and the summary tell of it, once."""
    await receive(book, complete(1))
    claimed = await book.claim("sg_1")
    if when == "under way":
        await receive(book, cancelled(2))
    await book.closed(claimed)
    closed_ms = book.clock.ms
    if when == "after":
        book.clock.forward(10)
        assert await receive(book, cancelled(2)) == ["too late"]
    assert await receive(book, cancelled(2)) == ["duplicate"]
    assert await book.state("sg_1") is State.CLOSED
    closure = await book.read("sg_1")
    assert closure.hold is None
    assert [(one.word, one.source, one.event_id) for one in closure.cancels] == [("too late", "wms", "x2")]
    [notice] = await late_notices(book)
    assert notice.fields == {"source": "wms", "id": "x2", "groups": 1, "reference": "sg_1", "closed_at": closed_ms}
    summary = await book.ledger.catalogue.summary(STREAM)
    assert (summary.late, list(summary.late_groups)) == (1, ["sg_1"])
    book.clock.forward(WEEK_S + 1)
    await book.ledger.prune(keep_s=90 * 86_400)
    assert (await book.ledger.catalogue.summary(STREAM)).late == 0
    assert await book.redis.exists(key_of("late")) == 0


async def test_an_outdated_one_for_a_closed_group(book: Book) -> None:
    """It is no alarm: the complete event that closed the group is the later one."""
    await receive(book, complete(5))
    await book.closed(await book.claim("sg_1"))
    assert await receive(book, cancelled(4)) == ["outdated"]
    assert await late_notices(book) == []


@pytest.mark.parametrize("damage", ["record", "deleted record", "index", "cancels", "hold"])
async def test_damage_frees_no_cancelled_group(book: Book, damage: str) -> None:
    """Whichever key is damaged or lost, the group is not called; another cancel event changes nothing."""
    await receive(book, complete(1), cancelled(2))
    if damage == "record":
        await book.redis.set(key_of("c:sg_1"), "{")
    elif damage == "deleted record":
        await book.redis.delete(key_of("c:sg_1"))
    elif damage == "index":
        await book.redis.delete(key_of("held"))
    elif damage == "hold":
        await book.redis.hset(key_of("holds"), "sg_1", "{")
    else:
        raw = json.loads(await book.redis.hget(key_of("holds"), "sg_1") or b"")
        await book.redis.hset(key_of("holds"), "sg_1", json.dumps(raw | {"cancels": {"wms": "soon"}}))
    assert await receive(book, cancelled(3)) == ["cancelled"]
    await book.inspect()
    assert await book.due() == []
    assert not isinstance(await claim(book), Claim)
    word = await receive(book, complete(4))
    if damage in ("hold", "cancels"):  # nobody knows any more who held it, so only a person ends that
        assert word == ["held"]
        assert await release(book) is HoldWord.RELEASED
    assert isinstance(await claim(book), Claim)


@pytest.mark.parametrize("record", ["damaged", "none"])
async def test_a_group_whose_record_is_damaged(book: Book, record: str) -> None:
    """It is held as any other, and each event counts once."""
    await receive(book, complete(1))
    if record == "damaged":
        await book.redis.set(key_of("c:sg_1"), "{")
    else:
        await book.redis.delete(key_of("c:sg_1"))
    assert await receive(book, cancelled(2), cancelled(2), cancelled(3)) == ["cancelled", "duplicate", "cancelled"]
    await book.inspect()
    assert await book.due() == []
    assert not isinstance(await claim(book), Claim)
