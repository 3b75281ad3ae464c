"""A script that fails: it has written nothing, and what it fails for does not hold up the rest."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import redis as sync_redis
from redis.asyncio import Redis
from redis.exceptions import ClusterCrossSlotError, DataError, MovedError, RedisError, ResponseError

from tasks.closure import Outcome, Reason, State
from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.events.event import GroupComplete, Rejection
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt
from tasks.ledger.ledger import Ledger
from tasks.ledger.scripts import translated
from tasks.ledger.sift import sift
from tasks.ledger.values import Claim, Settlement
from tests.support import key_of
from tests.tasks.book import LEASE_S, Book
from worker.attempts.permission import Permission
from worker.attempts.settler import Settler

NOT_TEXT = "\ud800"  # half a character: Python's JSON has a way to write it, and the store's scripts cannot read it
GROUPS = [f"sg_{number}" for number in range(7)]
POISONS: dict[str, Settlement] = {
    "history": Settlement("poison", 1, State.RETRYING, packed=NOT_TEXT),
    "endless": Settlement("poison", 1, State.RETRYING, delay_s=float("inf")),
    "no number": Settlement("poison", 1, State.RETRYING, delay_s=float("nan")),
    "unending": Settlement("poison", 1, State.RETRYING, delay_s=1e300),
    "held for ever": Settlement("poison", 1, State.QUEUED, hold_s=1e300),
    "without outcome": Settlement("poison", 1, State.CLOSED),
    "without reason": Settlement("poison", 1, State.FAILED),
    "no state of an attempt": Settlement("poison", 1, State.DISCARDED),
}
Step = Callable[[Book], Awaitable[object]]
STEPS: dict[str, Step] = {
    "receive": lambda book: book.receive("new", "failed", event_id="e9"),
    "claim": lambda book: book.claim("queued"),
    "due": lambda book: book.due(),
    "settle": lambda book: book.ledger.settle(
        [Settlement("claimed", 1, State.FAILED, "h", reason=Reason.GONE), Settlement("claimed", 2, State.QUEUED)]
    ),
    "requeue": lambda book: book.ledger.requeue(["failed"], audit="1-1"),
    "discard": lambda book: book.ledger.discard(["failed"], audit="1-1"),
    "hand back": lambda book: book.ledger.undispatch(["sent", "queued"]),
    "reject": lambda book: book.ledger.dead_letters.reject(b"x", Rejection(("event: x",)), "test"),
    "prune": lambda book: book.ledger.prune(keep_s=0),
    "pause": lambda book: book.ledger.gate.pause(by="ann"),
    "heartbeat": lambda book: book.ledger.heartbeats.write("w", {}),
}
KEYS = ["agenda", "dispatched", "open", *State, *(f"failed:{reason}" for reason in Reason)]
KEYS += ["gate", "workers", "audit", "rejected", "reconsider"]


@pytest.fixture
def book(real: Redis) -> Book:
    """An empty ledger in a real store, on an explicit clock."""
    return Book(real)


def content(store: sync_redis.Redis) -> dict[bytes, bytes]:
    """Every key with its value."""
    keys = store.keys()
    assert isinstance(keys, list)
    return {key: store.dump(key) for key in keys}  # type: ignore[misc]


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (ResponseError("user_script:2: attempt to index a nil value"), LedgerBroken),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), LedgerBroken),
        (DataError("Invalid input of type"), LedgerBroken),
        (ResponseError("NOREPLICAS Not enough good replicas to write."), StoreUnavailable),
        (ResponseError("MISCONF Errors writing to the AOF file"), StoreUnavailable),
        (ResponseError("BUSY Redis is busy running a script"), StoreUnavailable),
        (ResponseError("ACL failure in script: No permissions to access a key"), StoreUnavailable),
        (ResponseError("Script attempted to access a non local key in a cluster node"), StoreUnavailable),
        (ClusterCrossSlotError("Keys in request don't hash to the same slot"), StoreUnavailable),
        (MovedError("1 127.0.0.1:1"), StoreUnavailable),
        (ConnectionResetError(), StoreUnavailable),
    ],
)
def test_what_breaks_the_ledger(error: RedisError | OSError, kind: type[Exception]) -> None:
    """Only what asking again later cannot mend is a broken ledger."""
    assert type(translated(error)) is kind


def test_the_reasons_of_the_scripts() -> None:
    """The scripts know exactly the reasons of failure that Python knows."""
    source = (Path(__file__).parents[2] / "tasks/ledger/lua/lib/record.lua").read_text()
    [listed] = re.findall(r"local FAILURES = \{(.*?)\}", source, re.DOTALL)
    assert re.findall(r"'(\w+)'", listed) == [reason.value for reason in Reason]


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("key", KEYS)
async def test_all_or_nothing(book: Book, store: sync_redis.Redis, key: str, step: str) -> None:
    """A script that meets a key of another kind has changed nothing, or does not need that key and does its work."""
    await book.receive("queued", "failed", "claimed", "closed", "sent")
    await book.failed("failed")
    await book.closed(await book.claim("closed"))
    await book.claim("claimed")
    assert "sent" in await book.due()
    book.clock.forward(LEASE_S + 1)
    store.delete(key_of(key))
    store.set(key_of(key), "not ours")
    before = content(store)
    broken = ""
    try:
        await STEPS[step](book)
    except LedgerBroken as error:
        broken = str(error)
    assert not broken or ("holds something else" in broken and content(store) == before)


@pytest.mark.parametrize("place", [0, 1, 2])
async def test_an_event_that_cannot_be_read(book: Book, store: sync_redis.Redis, place: int) -> None:
    """Events are read before the first is written: one that cannot be read leaves no half of its batch behind."""
    events = [GroupComplete("sg_1", "wms", "1"), GroupComplete("sg_2", "wms", "1")]
    events.insert(place, GroupComplete("sg_3", "wms", NOT_TEXT))
    with pytest.raises(LedgerBroken, match="a script of the ledger failed, and wrote nothing"):
        await book.ledger.receive(events)
    assert content(store) == {}


@pytest.mark.parametrize("poison", POISONS)
async def test_a_settlement_that_cannot_be_written(
    book: Book, store: sync_redis.Redis, poison: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is dropped with an error line, all others of its batch are written once, and its group is due again later."""
    await book.receive("poison", *GROUPS)
    settler = Settler(book.ledger, Permission())
    for reference in [*GROUPS[:3], "poison", *GROUPS[3:]]:
        claim = await book.claim(reference)
        packed = pack_attempt(Attempt(claim.at_ms, "w1"))
        good = Settlement(reference, claim.lease, State.CLOSED, packed, Outcome.CLOSED)
        settler.put(POISONS[poison] if reference == "poison" else good)
    running = asyncio.create_task(settler.run())
    async with asyncio.timeout(20):
        await settler.empty()
    running.cancel()
    closures = [await book.read(reference) for reference in GROUPS]
    assert {(closure.state, closure.attempts) for closure in closures} == {(State.CLOSED, 1)}
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert line.startswith("the result of the attempt on poison is dropped")
    assert settler.settled == len(GROUPS)
    assert store.hget(key_of("gate"), "throttled") is None
    book.clock.forward(LEASE_S + 1)
    assert await book.due() == ["poison"]


async def test_a_record_of_another_kind(book: Book) -> None:
    """Among good ones it is found due, is told as unreadable when it is claimed, and can be received anew."""
    await book.receive("bad", "good")
    await book.redis.delete(key_of("c:bad"))
    await book.redis.rpush(key_of("c:bad"), "not ours")
    assert sorted(await book.due()) == ["bad", "good"]
    claims = await book.ledger.claim(["bad", "good"], worker="w1", lease_s=LEASE_S)
    assert (claims["bad"], type(claims["good"])) == ("unreadable", Claim)
    await book.receive("bad")
    assert await book.closed(await book.claim("bad"))


@pytest.mark.parametrize(
    "damage", ['"zz":1e999', '"zz":[NaN]', '"zz":{"a":[1,Infinity]}', '"s":"failed","r":"a reason of nobody"']
)
async def test_a_record_that_cannot_be_written_back(book: Book, damage: str) -> None:
    """It counts as damaged, before anything is written: its group can be received anew and closed."""
    await book.receive("bad", "good")
    record = await book.redis.get(key_of("c:bad"))
    assert isinstance(record, bytes)
    await book.redis.set(key_of("c:bad"), record.decode().rstrip("}") + f",{damage}}}")
    claims = await book.ledger.claim(["bad", "good"], worker="w1", lease_s=LEASE_S)
    assert (claims["bad"], type(claims["good"])) == ("unreadable", Claim)
    await book.receive("bad", event_id="e2")
    assert await book.closed(await book.claim("bad"))


@pytest.mark.parametrize("bad", [set(), {0}, {6}, {2, 3}, set(range(7)), {0, 6}])
async def test_sift(bad: set[int]) -> None:
    """All good items are done once and in order, and each bad one is told alone, in its place."""
    told: list[tuple[str, int]] = []

    async def do(some: object) -> None:
        assert isinstance(some, list | tuple | range)
        if bad & set(some):
            raise LedgerBroken("poison")
        told.extend(("done", item) for item in some)

    async def fails(item: int, error: LedgerBroken) -> None:
        told.append(("failed", item))

    await sift(range(7), do, fails)
    assert told == [("failed" if item in bad else "done", item) for item in range(7)]


async def test_a_ledger_that_is_broken_as_a_whole() -> None:
    """When the step fails without any item, no item is to blame: the error is raised, and nothing is put aside."""

    async def do(some: object) -> None:
        raise LedgerBroken("the agenda is a list")

    async def fails(item: int, error: LedgerBroken) -> None:
        raise AssertionError(item)

    with pytest.raises(LedgerBroken, match="the agenda is a list"):
        await sift(range(7), do, fails)


async def test_results_wait_for_a_broken_ledger(book: Book, store: sync_redis.Redis) -> None:
    """While a key of the ledger holds something else no result is dropped; each is written when the key is free."""
    await book.receive("sg_1")
    claim = await book.claim("sg_1")
    store.rename(key_of("agenda"), "kept")
    store.set(key_of("agenda"), "not ours")
    settler = Settler(book.ledger, Permission())
    settler.put(Settlement("sg_1", claim.lease, State.CLOSED, "h", Outcome.CLOSED))
    with pytest.raises(LedgerBroken, match=re.escape(f"RENAME {key_of('agenda')} {key_of('agenda.foreign')}")):
        await settler._write()
    store.rename(key_of("agenda"), key_of("agenda.foreign"))
    store.rename("kept", key_of("agenda"))
    await settler._write()
    assert (settler.settled, await book.state("sg_1")) == (1, State.CLOSED)


async def test_nothing_is_claimed_that_cannot_be_settled(book: Book, store: sync_redis.Redis) -> None:
    """While an index that results go into holds something else nothing is claimed, so nothing is called in vain."""
    await book.receive("sg_1")
    store.set(key_of("failed:gone"), "not ours")
    with pytest.raises(LedgerBroken, match=f"{key_of('failed:gone')} is a string"):
        await book.claim("sg_1")


async def test_a_ledger_method_of_python(real: Redis) -> None:
    """An argument that cannot even be sent is a broken ledger, too: not an error of Python's that ends the process."""
    with pytest.raises(LedgerBroken):
        await Ledger(real).claim([NOT_TEXT], worker="w1", lease_s=LEASE_S)
