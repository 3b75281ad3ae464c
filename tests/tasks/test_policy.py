"""One ledger, one API: the first worker notes the address, and nobody claims for another one."""

from __future__ import annotations

from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.api.address import api_address
from tasks.errors import ForeignApi
from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from tasks.ledger.values import Claim
from tests.support import key_of
from tests.tasks.book import DEADLINE_S, Book

REAL, REHEARSAL = "https://api.sorted.com/pro", "http://127.0.0.1:8083/pro"


def ledger(book: Book, api: str) -> Ledger:
    """The same ledger, as a worker sees it that calls this API."""
    return Ledger(book.redis, clock=book.clock, api=api)


async def claimed(of: Ledger) -> bool:
    """Whether the ledger gives out sg_1."""
    return isinstance((await of.claim(["sg_1"], worker="w", lease_s=60))["sg_1"], Claim)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (REAL, "https://api.sorted.com/pro/", True),
        (REAL, "https://API.Sorted.com:443/pro", True),
        ("http://h:80", "HTTP://h/", True),
        ("http://[::1]:8080/pro", "http://[::1]:8080/pro//", True),
        (REAL, "http://api.sorted.com/pro", False),
        (REAL, "https://api.sorted.com:444/pro", False),
        (REAL, "https://api.sorted.com/PRO", False),
        (REAL, "https://sandbox.sorted.com/pro", False),
        (REAL, "https://api.sorted.com", False),
    ],
)
def test_which_addresses_are_the_same(one: str, other: str, same: bool) -> None:
    """Scheme, host, port and path count; case of the host, a default port and a last slash do not."""
    assert (api_address(one) == api_address(other)) == same
    assert api_address(api_address(other)) == api_address(other)


async def test_the_first_worker_sets_it(book: Book) -> None:
    """Any number of workers with one address hold the ledger; one with another is told both."""
    assert await book.ledger.policy.api() is None
    await ledger(book, REAL).policy.hold_api()
    await ledger(book, REAL).policy.hold_api()
    with pytest.raises(ForeignApi) as raised:
        await ledger(book, REHEARSAL).policy.hold_api()
    assert await book.ledger.policy.api() == REAL
    assert (raised.value.ledgers, raised.value.ours) == (REAL, REHEARSAL)
    for address in (REAL, REHEARSAL):
        assert address in str(raised.value)


async def test_no_claim_for_another_api(book: Book) -> None:
    """A worker that was held up while the ledger moved gets no claim, and the closure stays as it is."""
    await book.receive("sg_1")
    await ledger(book, REAL).policy.hold_api()
    with pytest.raises(ForeignApi):
        await claimed(ledger(book, REHEARSAL))
    assert await book.agenda("sg_1") == 0
    assert (await book.read("sg_1")).attempts == 0
    assert await claimed(ledger(book, REAL))


@pytest.mark.parametrize(
    ("said", "keeps"),
    [
        ({"api": REAL}, True),
        ({}, True),
        ({"api": REHEARSAL}, False),
    ],
)
async def test_moved_when_nobody_calls_the_old_one(book: Book, said: dict[str, Any], keeps: bool) -> None:
    """A worker seen in the last minute that calls another API, or does not say which, keeps a ledger where it is."""
    await ledger(book, REAL).policy.hold_api()
    await book.ledger.heartbeats.write("w1", said)
    book.clock.forward(59)
    assert await book.ledger.policy.move_api(REHEARSAL, by="olga", why="moved") == (["w1"] if keeps else [])
    assert await book.ledger.policy.api() == (REAL if keeps else REHEARSAL)
    book.clock.forward(2)
    assert await book.ledger.policy.move_api(REHEARSAL, by="olga", why="moved") == []
    await ledger(book, REHEARSAL).policy.hold_api()


async def test_a_damaged_sign_of_life(book: Book) -> None:
    """What another program wrote among the workers neither breaks the move nor keeps from it."""
    await ledger(book, REAL).policy.hold_api()
    for index, text in enumerate(["", "{", "[]", '"x"', '{"at": "x"}', "null"]):
        await book.redis.hset(key_of("workers"), f"w{index}", text)
    assert await book.ledger.policy.move_api(REHEARSAL, by="olga", why="moved") == []


async def test_a_foreign_value(book: Book) -> None:
    """Whatever another program puts in the place of the address counts as another address, and can be moved from."""
    await book.redis.hset(key_of("policy"), "api", b"\xff\n")
    with pytest.raises(ForeignApi, match="xff"):
        await ledger(book, REAL).policy.hold_api()
    assert await book.ledger.policy.move_api(REAL, by="olga", why="mend") == []
    await ledger(book, REAL).policy.hold_api()


FLEET = FleetPolicy(deadline_s=5000.0, rate_limit=0.5, stream="s")


async def deadline_s(book: Book, reference: str) -> float:
    """For how long a closure will be tried from now."""
    claim = (await book.ledger.claim([reference], worker="w", lease_s=60))[reference]
    assert isinstance(claim, Claim)
    return claim.remaining_s


async def test_the_worker_that_started_last_sets_the_fleets_policy(book: Book) -> None:
    """Deadlines, the rate limit and the stream are the fleet's, whatever the caller is set to."""
    assert await book.ledger.policy.read() is None
    await book.receive("sg_0", "sg_f")
    await book.failed("sg_f")
    await ledger(book, REAL).policy.start(FleetPolicy(1.0, 0.0, "x"))
    await ledger(book, REAL).policy.start(FLEET)
    assert await book.ledger.policy.read() == FLEET
    await book.receive("sg_1")
    assert await book.ledger.requeue(["sg_f"]) == ["done"]
    assert await deadline_s(book, "sg_0") == pytest.approx(DEADLINE_S)
    assert await deadline_s(book, "sg_1") == pytest.approx(5000.0)
    assert await deadline_s(book, "sg_f") == pytest.approx(5000.0)


async def test_the_fleets_rate_limit_holds_for_every_caller(book: Book) -> None:
    """A worker, or an operator's questions, that would have no limit keep to the fleet's."""
    await ledger(book, REAL).policy.start(FLEET)
    assert (await book.ledger.gate.slot(0.0)).wait_s == 0
    assert (await book.ledger.gate.slot(0.0)).wait_s == pytest.approx(2.0)
    await book.receive("sg_1")
    assert (await book.claim("sg_1")).wait_s == pytest.approx(4.0)


async def test_a_worker_for_another_api_sets_no_policy(book: Book) -> None:
    """It refuses to start, and nothing is written."""
    await ledger(book, REAL).policy.start(FLEET)
    with pytest.raises(ForeignApi):
        await ledger(book, REHEARSAL).policy.start(FleetPolicy(1.0, 1.0, "x"))
    assert await book.ledger.policy.read() == FLEET


@pytest.mark.parametrize(
    "damage",
    [
        {"deadline_ms": "x"},
        {"deadline_ms": "-1"},
        {"deadline_ms": "1e99"},
        {"deadline_ms": "nan"},
        {"stream": b"\xff"},
        {"event_types": b"\xff"},
        {"cancel_event_types": b"\xff"},
    ],
)
async def test_a_damaged_policy_is_none(book: Book, damage: dict[Any, Any]) -> None:
    """What another program writes there breaks nothing: a caller's own settings count."""
    await ledger(book, REAL).policy.start(FLEET)
    await book.redis.hset(key_of("policy"), mapping=damage)
    assert await book.ledger.policy.read() is None
    await book.receive("sg_1")
    assert await deadline_s(book, "sg_1") == pytest.approx(DEADLINE_S if "deadline_ms" in damage else 5000.0)


@pytest.mark.parametrize(
    ("said", "names"),
    [
        (None, []),
        ("x", []),
        (FLEET.as_fields(), []),
        (FleetPolicy(1.0, 0.5, "s").as_fields(), ["CLOSER_RETRY_DEADLINE"]),
        (FleetPolicy(5000.0, 0.0, "t").as_fields(), ["CLOSER_RATE_LIMIT", "CLOSER_EVENTS_STREAM"]),
        (FleetPolicy(5000.0, 0.5, "s", "a.done").as_fields(), ["CLOSER_EVENT_TYPES"]),
        (FleetPolicy(5000.0, 0.5, "s", "", 0.0, "a.undone").as_fields(), ["CLOSER_CANCEL_EVENT_TYPES"]),
    ],
)
def test_the_settings_that_differ_are_named(said: Any, names: list[str]) -> None:
    """By their variables; a worker of an earlier release says nothing of them."""
    assert FLEET.differs(said) == names


async def test_a_move_is_audited_in_the_same_step(book: Book, any_store: Redis) -> None:
    """Who, why, from where to where; a move to where it is already changes nothing and is not noted."""
    await ledger(book, REAL).policy.hold_api()
    for _ in range(2):
        await book.ledger.policy.move_api(REHEARSAL, by="olga", why="rehearsal", door="cli")
    entries: Any = await any_store.xrange(key_of("audit"))
    [(_, entry)] = entries
    assert {name.decode(): value.decode() for name, value in entry.items()} == {
        "by": "olga", "action": "move-api", "filter": f"{REAL} -> {REHEARSAL}", "matched": "1", "changed": "1",
        "why": "rehearsal", "door": "cli",
    }  # fmt: skip
    assert await book.ledger.policy.api() == REHEARSAL
