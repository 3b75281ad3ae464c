"""Exporting and discarding many rejected events: no front end is needed, and no bytes are lost."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from tasks.events.event import Rejection
from tasks.ledger.audit import AuditEntry
from tasks.ledger.dead_letter import DeadLetter
from tests.tasks.book import Book
from worker.operations import audit, dead_letters
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_filter import DeadLetterFilter, alike
from worker.operations.dead_letter_groups import groups
from worker.operations.moment import Moment
from worker.operations.operator import Operator, Role, Verb
from worker.operations.step import CouldNot
from worker.settings import load

WHY = BulkOptions("because")
NOT_JSON = Rejection(("event: not JSON: Expecting value at character 0",))
FILTERS = st.builds(
    DeadLetterFilter,
    st.lists(st.just("1-0"), max_size=2).map(tuple),
    st.none() | st.text(),
    st.none() | st.text(),
    st.none() | st.sampled_from(["2h", "03:00"]).map(Moment),
    st.none() | st.integers(0, 2**41).map(Moment.at),
)


@pytest.fixture
def context(any_store: Redis) -> OperatorContext:
    """An operator on an empty ledger."""
    return OperatorContext.of(Operator("anna", Role.ADMIN, "test"), load(), any_store)


async def reject(context: OperatorContext, *bodies: bytes, why: Rejection = NOT_JSON) -> list[str]:
    """Put these aside; their ids."""
    letters = context.ledger.dead_letters
    return [await letters.reject(body, why, f"{number}-0") for number, body in enumerate(bodies)]


async def left(context: OperatorContext) -> list[bytes]:
    """The bytes that are still kept, oldest first."""
    return [one.body async for one in dead_letters.newest(context)][::-1]


async def entries(context: OperatorContext) -> list[AuditEntry]:
    """The audit, the newest first."""
    return [entry async for entry in audit.entries(context) if isinstance(entry, AuditEntry)]


async def test_an_unknown_id_among_rejected_events_discards_none(context: OperatorContext) -> None:
    """All ids must be there before the first is forgotten; one that is given twice counts once."""
    [rejected_id] = await reject(context, b"x")
    with pytest.raises(CouldNot, match="no rejected event has the id 1-1"):
        await dead_letters.freeze(context, Verb.DISCARD_REJECTED, DeadLetterFilter((rejected_id, "1-1")), "w")
    assert await left(context) == [b"x"]
    assert await entries(context) == []
    chosen = DeadLetterFilter((rejected_id, rejected_id))
    frozen = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, chosen, "w")
    assert (await dead_letters.discard(context, frozen, WHY)).as_json() == {
        "matched": 1, "exported": 0, "discarded": 1, "dry_run": False,
    }  # fmt: skip
    [entry] = await entries(context)
    assert (entry.action.action, entry.matched, entry.changed) == ("discard rejected", 1, 1)


async def test_groups_count_by_problem_and_type(context: OperatorContext) -> None:
    """What differs only in quoted text and numbers is one problem; the group with the most events comes first."""
    for number in range(3):
        problem = f'event: not JSON: Expecting "{number}" at character {number}'
        await reject(context, b"x%d" % number, why=Rejection((problem,)))
    await reject(context, *[b"y"] * 5, why=Rejection(("type: a",), "order.created"))
    await reject(context, b"z", why=Rejection(("type: a",), "order.cancelled"))
    found = await groups(context)
    assert [(one.problem, one.type, one.letters, one.events) for one in found] == [
        ("type: a", "order.created", 1, 5),
        ('event: not JSON: Expecting "2" at character 2', None, 3, 3),
        ("type: a", "order.cancelled", 1, 1),
    ]
    newest = [one async for one in dead_letters.newest(context)][2]
    assert found[1].as_json()["newest"] == newest.rejected_id


async def test_groups_are_bounded(context: OperatorContext) -> None:
    """A sender that makes problems up does not fill the memory: after a thousand groups the others count as one."""
    for number in range(1005):
        await reject(context, b"%d" % number, why=Rejection((f"x{'y' * number}",)))
    found = await groups(context)
    assert len(found) == 1001
    assert (found[0].problem, found[0].letters) == ("further problems", 5)


@pytest.mark.parametrize(
    ("chosen", "number"),
    [
        (DeadLetterFilter(problem="event: not JSON: Expecting value at character 99"), 2),
        (DeadLetterFilter(problem="event: not JSON"), 0),
        (DeadLetterFilter(problem="b: c"), 1),
        (DeadLetterFilter(problem="type: a; b: c"), 1),
        (DeadLetterFilter(event_type="x.y"), 1),
        (DeadLetterFilter(event_type="x.y", problem="event: not JSON: Expecting value at character 0"), 0),
        (DeadLetterFilter(until=Moment("1d")), 0),
        (DeadLetterFilter(since=Moment("1d")), 3),
        (DeadLetterFilter(since=Moment("2099-01-01")), 0),
        (DeadLetterFilter(until=Moment("0s")), 3),
    ],
)
async def test_what_is_discarded(context: OperatorContext, chosen: DeadLetterFilter, number: int) -> None:
    """Exactly what meets every condition; the rest stays."""
    await reject(context, b"a", b"b")
    await reject(context, b"c", why=Rejection(("type: a", "b: c"), "x.y"))
    frozen = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, chosen, "w")
    result = await dead_letters.discard(context, frozen, WHY)
    assert (result.matched, result.discarded, len(await left(context))) == (number, number, 3 - number)
    told = [(entry.matched, entry.changed, entry.action.why) for entry in await entries(context)]
    assert told == ([(number, number, "because")] if number else [])


async def test_what_comes_later_is_not_discarded(context: OperatorContext) -> None:
    """Only what was there when it was looked up."""
    await reject(context, b"a")
    frozen = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, DeadLetterFilter(until=Moment("0s")), "w")
    await reject(context, b"b")
    assert (await dead_letters.discard(context, frozen, WHY)).discarded == 1
    assert await left(context) == [b"b"]


async def test_an_export_has_the_exact_bytes(context: OperatorContext) -> None:
    """Also those that are not UTF-8; everything may be exported, all stays, and the audit says who did."""
    bodies = [b"\xff\x00\n", b'{"reference": "bad ref"}', *[bytes([65 + number]) * 400_000 for number in range(5)]]
    await reject(context, *bodies)
    lines: list[str] = []
    frozen = await dead_letters.freeze(context, Verb.EXPORT_REJECTED, DeadLetterFilter())
    result = await dead_letters.export(
        context, frozen, WHY, lambda page: lines.extend(json.dumps(one.exported()) for one in page)
    )
    assert (result.matched, result.exported, result.discarded, result.stopped) == (7, 7, 0, False)
    assert [base64.b64decode(json.loads(line)["base64"]) for line in lines] == bodies
    assert await left(context) == bodies
    [entry] = await entries(context)
    assert (entry.action.action, entry.changed, entry.skipped, entry.unfinished) == (
        "export rejected", 0, {"kept": 7}, 0,
    )  # fmt: skip


async def test_what_could_not_be_written_is_not_discarded(context: OperatorContext) -> None:
    """Each chunk is deleted after it was written, so an error in the middle leaves what was not written."""
    await reject(context, *[b"%d" % number for number in range(450)])
    frozen = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, DeadLetterFilter(since=Moment("1d")), "w")
    written: list[bytes] = []

    def write(page: Sequence[DeadLetter]) -> None:
        if len(written) >= 200:
            raise OSError("no space left")
        written.extend(one.body for one in page)

    with pytest.raises(OSError, match="no space left"):
        await dead_letters.export_and_discard(context, frozen, WHY, write)
    assert len(written) == 200
    assert await left(context) == [b"%d" % number for number in range(200, 450)]
    [entry] = await entries(context)
    assert (entry.changed, entry.unfinished, (entry.action.selection or {})["exported"]) == (200, 250, True)


async def test_an_interrupted_discard_says_how_many_are_left(context: OperatorContext) -> None:
    """It ends between two chunks; running it again does the rest."""
    await reject(context, *[b"%d" % number for number in range(450)])
    frozen = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, DeadLetterFilter(since=Moment("1d")), "w")
    how = BulkOptions("w")
    result = await dead_letters.discard(
        context, frozen, BulkOptions("w", stop=how.stop, progress=lambda _: how.stop.set())
    )
    assert result.as_json() == {"matched": 450, "exported": 0, "discarded": 200, "dry_run": False, "stopped": True}
    rest = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, DeadLetterFilter(since=Moment("1d")), "w")
    assert (await dead_letters.discard(context, rest, WHY)).discarded == 250


async def test_one_that_went_meanwhile(context: OperatorContext) -> None:
    """Another operator was faster: it is neither exported nor discarded a second time, and counted as unknown."""
    first, _ = await reject(context, b"a", b"b")
    frozen = await dead_letters.freeze(context, Verb.DISCARD_REJECTED, DeadLetterFilter(since=Moment("1d")), "w")
    await context.ledger.dead_letters.dismiss([first], audit="")
    pages: list[DeadLetter] = []
    result = await dead_letters.export_and_discard(context, frozen, WHY, pages.extend)
    assert (result.matched, result.exported, result.discarded, result.stopped) == (2, 1, 1, False)
    [entry] = await entries(context)
    assert (entry.changed, entry.skipped, entry.unfinished) == (1, {"unknown": 1}, 0)


@given(FILTERS)
def test_a_filter_is_the_same_after_json(chosen: DeadLetterFilter) -> None:
    """What was written down is read back; of more than a thousand ids only the first are written down."""
    assert DeadLetterFilter.from_json(json.loads(json.dumps(chosen.as_json()))) == chosen


@pytest.mark.parametrize("document", [{"x": 1}, {"problem": 7}, {"until": "soon"}, {"rejected": 7}])
def test_what_is_not_a_filter(document: dict[str, object]) -> None:
    """Anything else is a ValueError, and not a filter with fewer conditions."""
    with pytest.raises(ValueError, match=r"."):
        DeadLetterFilter.from_json(document)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("event: not UTF-8 at byte 0", "event: not UTF-8 at byte 17", True),
        ('type: "a" is not', 'type: "b \\" c" is not', True),
        ("the task 'x' is not", "the task 'y' is not", True),
        ("event: a", "event: b", False),
    ],
)
def test_which_problems_are_alike(one: str, other: str, same: bool) -> None:
    """Those that differ in quoted text and numbers alone."""
    assert (alike(one) == alike(other)) is same


async def test_the_head_tells_what_the_whole_tells(any_store: Redis) -> None:
    """A rejected event without its bytes is told like the one with them."""
    book = Book(any_store)
    await book.ledger.dead_letters.reject(b"abc", Rejection(("type: a",), "x.y"), "1-0")
    [head] = [one async for one in book.ledger.dead_letters.heads(2**53)]
    [whole] = [one async for one in book.ledger.dead_letters.newest()]
    assert (head.rejected_id, head.size, head.problems, head.origin, head.refused_type, head.times, head.last_ms) == (
        whole.rejected_id, whole.size, whole.problems, whole.origin, whole.refused_type, whole.times, whole.last_ms,
    )  # fmt: skip
