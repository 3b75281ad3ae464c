"""The ledger has a version: an older program refuses it, and it rises when no older worker is alive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import pytest
from redis.asyncio import Redis

from tasks.errors import ConfigurationError, NewerLedger, OlderWorkers
from tasks.events.event import Rejection
from tasks.ledger import scripts
from tasks.ledger.catalogue import Catalogue, Query
from tasks.ledger.heartbeat import Heartbeat
from tasks.ledger.ledger import Ledger
from tasks.ledger.notices import Notice, NoticeKind
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.version import LEDGER_VERSION
from tasks.namespace import DEFAULT_NAMESPACE
from tests.support import STREAM, key_of
from tests.tasks.book import DEADLINE_S, Book
from tests.tasks.test_policy import FLEET

WORKERS, POLICY, GATE = map(key_of, ("workers", "policy", "gate"))
NEXT = LEDGER_VERSION + 1


@contextmanager
def release(version: int) -> Iterator[None]:
    """What is loaded meanwhile are the scripts of a release that knows this version."""
    scripts.source.cache_clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scripts, "LEDGER_VERSION", version)
        yield
    scripts.source.cache_clear()


async def newer(book: Book) -> Ledger:
    """The same ledger, seen by a program of the next version; all its scripts are loaded."""
    ledger = Ledger(book.redis, deadline_s=DEADLINE_S, clock=book.clock)
    with release(NEXT):
        await ledger.heartbeats.write()
        await ledger.policy.hold_api()
        await ledger.heartbeats.write("newer", {})
        await ledger.heartbeats.write("newer")
        await ledger.receive([])
    return ledger


async def versions(book: Book) -> list[int]:
    """The ledger's version as its policy and as its gate has it."""
    redis = book.redis
    held = [await cast("Any", redis.hget(key, "version")) for key in (POLICY, GATE)]
    return [int(version or 0) for version in held]


async def test_the_first_worker_sets_it(book: Book) -> None:
    """A ledger has no version until a worker gives a sign of life; a command that looks does not set it."""
    await book.ledger.heartbeats.write()
    await book.ledger.gate.pause()
    assert await versions(book) == [0, 0]
    await book.alive(w1="k")
    assert await versions(book) == [LEDGER_VERSION, LEDGER_VERSION]


async def test_a_worker_says_what_it_knows(book: Book) -> None:
    """Each sign of life has the latest version that its program knows, and every other word of it is kept."""
    await book.ledger.heartbeats.write("w1", {"key": "k", "of a later release": [1]})
    _, [sign] = await book.ledger.heartbeats.write()
    assert isinstance(sign, Heartbeat)
    assert sign.said == {"key": "k", "of a later release": [1], "ledger_version": LEDGER_VERSION}


@pytest.mark.parametrize("goodbye", [True, False], ids=["goodbye", "killed"])
async def test_a_rolling_update(book: Book, goodbye: bool) -> None:
    """The version rises after the last older worker's goodbye, or a minute after its last sign of life; it is told."""
    ledger = await newer_beside(book)
    await book.alive(old="k")
    await ledger.heartbeats.write("new", {"key": "k"})
    assert await versions(book) == [LEDGER_VERSION] * 2
    assert await book.receive("sg_1") == ["new"]
    if goodbye:
        await book.ledger.heartbeats.write("old")
    else:
        book.clock.forward(61)
    await ledger.heartbeats.write("new", {"key": "k"})
    assert await versions(book) == [NEXT] * 2
    notices = (await book.ledger.notices.read()).notices
    risen = [dict(one.fields) for one in notices if isinstance(one, Notice) and one.kind is NoticeKind.LEDGER_VERSION]
    assert risen == [{"from": LEDGER_VERSION, "to": NEXT}]


async def newer_beside(book: Book) -> Ledger:
    """A program of the next version, while an older worker keeps the ledger at its version."""
    await book.alive(old="k")
    return await newer(book)


async def risen(book: Book) -> None:
    """A newer worker has raised the version."""
    ledger = await newer(book)
    await ledger.heartbeats.write("new", {"key": "k"})
    assert await versions(book) == [NEXT] * 2


async def test_every_script_of_an_older_program_refuses(book: Book) -> None:
    """Whatever an older program does with a newer ledger, it is told both versions, and changes nothing."""
    await book.receive("sg_1")
    await risen(book)
    before = await everything(book.redis)
    for name in scripts.names():
        with pytest.raises(NewerLedger) as raised:
            await scripts.Scripts(book.redis, DEFAULT_NAMESPACE.prefix, 1.0, book.clock).run(name)
        for words in (f"has version {NEXT}", f"up to {LEDGER_VERSION}", "Nothing was changed"):
            assert words in str(raised.value)
        assert isinstance(raised.value, ConfigurationError), "exit code 2"
    assert await everything(book.redis) == before


async def everything(redis: Redis) -> dict[bytes, bytes]:
    """All that the store holds."""
    return {key: await cast("Any", redis.dump(key)) for key in sorted(await cast("Any", redis.keys("*")))}


async def test_an_older_command_refuses(book: Book) -> None:
    """So do lists and the status."""
    await risen(book)
    catalogue = Catalogue(book.redis, clock=book.clock)
    with pytest.raises(NewerLedger):
        await catalogue.summary(STREAM)
    with pytest.raises(NewerLedger):
        await catalogue.page(Query(), limit=1)


async def test_a_lost_gate_does_not_let_an_older_worker_in(book: Book) -> None:
    """The policy keeps the version: no older worker starts, and the next sign of life puts it back into the gate."""
    ledger = await newer(book)
    await ledger.heartbeats.write("new", {"key": "k"})
    await book.redis.delete(GATE)
    with pytest.raises(NewerLedger):
        await book.ledger.policy.hold_api()
    with pytest.raises(NewerLedger):
        await book.ledger.policy.start(FLEET)
    await ledger.heartbeats.write("new", {"key": "k"})
    assert await versions(book) == [NEXT] * 2


async def test_a_lost_policy_does_not_lose_it(book: Book) -> None:
    """The gate keeps the version, too, and the next sign of life puts it back into the policy."""
    await risen(book)
    await book.redis.delete(POLICY)
    with pytest.raises(NewerLedger):
        await book.ledger.policy.start(FLEET)


@pytest.mark.parametrize("value", ["", "x", "-1", "nan", "1e300"])
async def test_a_spoilt_version(book: Book, value: str) -> None:
    """What is not a version counts as none, and the next sign of life writes it anew."""
    for key in (POLICY, GATE):
        await cast("Any", book.redis.hset(key, "version", value))
    await book.alive(w1="k")
    assert await versions(book) == [LEDGER_VERSION] * 2


async def test_a_worker_from_before_versions(book: Book) -> None:
    """While one gives signs of life no newer one starts: its name is told, and nothing is written."""
    await cast("Any", book.redis.hset(WORKERS, "w0", f'{{"at":{book.clock.ms},"in_flight":1}}'))
    with pytest.raises(OlderWorkers, match=r"'w0' of an older closer must stop first"):
        await book.ledger.policy.start(FLEET)
    assert await book.ledger.policy.read() is None
    await book.alive(w1="k")
    assert await versions(book) == [0, 0]
    book.clock.forward(61)
    await book.ledger.policy.start(FLEET)
    await book.alive(w1="k")
    assert await versions(book) == [LEDGER_VERSION] * 2


async def test_no_foreign_field_holds_up_a_start(book: Book) -> None:
    """What another program wrote among the workers is not a worker that could be alive."""
    for index, text in enumerate(["", "{", "[]", '"x"', '{"at": "x"}', "null", '{"at": 1}']):
        await cast("Any", book.redis.hset(WORKERS, f"w{index}", text))
    await book.ledger.policy.start(FLEET)
    assert await book.ledger.policy.read() == FleetPolicy(FLEET.deadline_s, FLEET.rate_limit, FLEET.stream)


async def test_unknown_fields_of_a_gate_are_kept(book: Book) -> None:
    """What a later release writes into the hashes stays there, whatever this one does with them."""
    for key in (GATE, POLICY):
        await cast("Any", book.redis.hset(key, "later", "x"))
    await book.ledger.policy.start(FLEET)
    await book.ledger.gate.pause()
    await book.ledger.gate.resume()
    await book.alive(w1="k")
    await book.ledger.dead_letters.reject(b"x", Rejection(("x",)), "test")
    assert [await cast("Any", book.redis.hget(key, "later")) for key in (GATE, POLICY)] == [b"x", b"x"]
