"""The seal that a move leaves under the old prefix stops older releases; a look tells what they do all the same."""

from __future__ import annotations

import json
from collections.abc import Awaitable
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from tasks.errors import ConfigurationError, LedgerBroken
from tasks.ledger.ledger import Ledger
from tasks.ledger.old_move import move
from tasks.ledger.old_prefix import NO_OLD_LEDGER, SEAL, OldState, is_sealed, look, old_key
from tasks.namespace import Namespace
from tests.support import key_of

API = "https://api.example"
# What programs of older releases do, in their scripts' own words (tasks/lua of that time), with P = 'closer:'.
# A worker of the release just before asks this at its start, and every five seconds; another address ends it.
HOLD = """
local P, address = 'closer:', ARGV[1]
redis.call('HSETNX', P .. 'policy', 'api', address)
return redis.call('HGET', P .. 'policy', 'api')
"""
# Its claim gives nothing out when the address is another one.
CLAIM = """
local P = 'closer:'
local api = redis.call('HGET', P .. 'policy', 'api')
if api and ARGV[1] ~= '' and api ~= ARGV[1] then return { 'foreign', api } end
return { 'claimed' }
"""
# The first write of any receive, and so of an event that is taken in. `queued` comes after it.
RECEIVE = """
local P = 'closer:'
redis.call('ZADD', P .. 'open', 1, ARGV[1])
return redis.call('ZADD', P .. 'queued', 1, ARGV[1])
"""
# `closer pause`, and every other command that is audited, looks at the audit's kind first.
AUDITED = """
local kind = redis.call('TYPE', 'closer:audit').ok
if kind ~= 'none' and kind ~= 'stream' then return redis.error_reply('WRONGTYPE closer:audit is a ' .. kind) end
return redis.call('HSET', 'closer:gate', 'paused', '{}')
"""


async def old_script(store: Redis, script: str, argument: str = API) -> Any:
    """Run a script of an older release."""
    return await store.eval(script, 0, argument)


@pytest.fixture
async def sealed(real: Redis) -> Redis:
    """A store whose ledger was moved."""
    await old_script(real, HOLD)
    assert await old_script(real, CLAIM) == [b"claimed"]
    await old_script(real, RECEIVE, "sg_1")
    await old_script(real, AUDITED)
    await move(real)
    return real


async def test_a_worker_of_the_release_before(sealed: Redis) -> None:
    """It reads another API's address, which ends it, and its claims give nothing out; the words say where to look."""
    assert await old_script(sealed, HOLD) == SEAL.encode() != API.encode()
    assert await old_script(sealed, CLAIM) == [b"foreign", SEAL.encode()]
    assert "{closer}:*" in SEAL
    assert "docs/upgrading.md" in SEAL
    assert SEAL.isprintable()


@pytest.mark.parametrize("script", [RECEIVE, AUDITED])
async def test_what_an_older_program_writes(sealed: Redis, script: str) -> None:
    """No event is taken in, and no pause is written that nobody looks at; nothing is left behind."""
    before = sorted(await sealed.keys("closer:*"))
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await old_script(sealed, script, "sg_2")
    assert sorted(await sealed.keys("closer:*")) == before == [b"closer:audit", b"closer:open", b"closer:policy"]


async def test_what_the_seal_has_stopped_is_not_a_ledger(sealed: Redis) -> None:
    """The clock, a spoilt pause and an old sign of life do not keep a worker of this release from starting."""
    at_ms = ((await sealed.time())[0] - 61) * 1000
    await cast("Awaitable[Any]", sealed.hset("closer:workers", "old:1", json.dumps({"at": at_ms})))
    await cast("Awaitable[Any]", sealed.hset("closer:gate", mapping={"clock": 1, "shut": "paused"}))
    assert await look(sealed) == NO_OLD_LEDGER
    assert await move(sealed) == 0
    assert await sealed.exists("closer:gate", "closer:workers") == 2


async def test_a_ledger_begun_after_the_move(sealed: Redis) -> None:
    """Somebody has broken the seal: what an older release began since is not merged in silence."""
    await sealed.delete("closer:open")
    await sealed.zadd("closer:seen_types", {"x": 1})
    found = await look(sealed)
    assert (found.state, found.held) == (OldState.BESIDE, ("seen_types",))
    with pytest.raises(ConfigurationError, match=r"two ledgers: closer:seen_types"):
        await move(sealed)


@pytest.mark.parametrize(
    ("sealing", "ledger", "alive", "state", "problem", "remedy"),
    [
        (False, False, False, "nothing", None, None),
        (False, True, False, "waits", "begin with closer:)", "a worker of this release moves it"),
        (False, True, True, "waits", "before it has stopped; a ledger", "stop it now where it runs; then a worker"),
        (True, False, True, "nothing", "neither take events in", "stop it now where it runs, see"),
        (True, True, False, "beside", "beside the one of this release", "stop every worker of the older release, see"),
        (True, True, True, "beside", "also while this fleet is paused; a ledger", "then read docs/upgrading.md, Two"),
    ],
)
async def test_a_look(
    any_store: Redis, sealing: bool, ledger: bool, alive: bool, state: str, problem: str | None, remedy: str | None
) -> None:
    """It tells what is there, which old workers live and where they run, what that means and what to do."""
    if sealing:
        await any_store.zadd("closer:agenda", {"sg_0": 1})
        await move(any_store)
    if ledger:
        await any_store.zadd("closer:agenda", {"sg_1": 1})
    if alive:
        said = json.dumps({"at": (await any_store.time())[0] * 1000})
        await cast("Awaitable[Any]", any_store.hset("closer:workers", mapping={"host:17": said, "odd": "x"}))
    found = await Ledger(any_store).older()
    assert (found.state, [worker.name for worker in found.alive]) == (state, ["host:17"] if alive else [])
    assert found.nothing == (problem is None)
    assert found.as_json()["ledger"] == state
    if problem and remedy:
        assert problem in found.problem
        assert ("process 17 on host" in found.problem) == alive
        assert remedy in found.remedy


@pytest.mark.parametrize(("name", "place"), [("host:17", "process 17 on host"), ("a b", "a b"), (":1", ":1")])
async def test_where_an_old_worker_runs(real: Redis, name: str, place: str) -> None:
    """Its name tells, where it is one that a worker gives itself."""
    said = json.dumps({"at": (await real.time())[0] * 1000})
    await cast("Awaitable[Any]", real.hset("closer:workers", name, said))
    assert [worker.place for worker in (await look(real)).alive] == [place]


async def test_another_fleet_has_no_older_ledger(real: Redis) -> None:
    """An older ledger is the default fleet's; keys of other programs under these names change nothing."""
    await real.set("closer:gate", "another program's")
    assert await Ledger(real, namespace=Namespace("north")).older() == NO_OLD_LEDGER
    assert (await look(real)).held == ("gate",)
    assert not await real.exists(key_of("gate"))


async def test_whether_a_prefix_is_sealed(real: Redis, sealed: Redis) -> None:
    """Only a move seals it; a foreign key in the seal's place is told, and is not taken for a seal."""
    assert await is_sealed(sealed)
    await real.hset(old_key("policy"), "api", API)
    assert not await is_sealed(real)
    await real.delete(old_key("policy"))
    assert not await is_sealed(real)
    await real.set(old_key("policy"), "x")
    with pytest.raises(LedgerBroken):
        await is_sealed(real)
