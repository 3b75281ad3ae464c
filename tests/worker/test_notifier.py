"""The notifier: every alert arrives, in order and once, whatever the receiver does and whoever sends it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from tasks.closure import Reason
from tasks.ledger.alerts import AlertLease, Delivery
from tasks.ledger.ledger import Ledger
from tests.operations.seed import Seed, plant
from tests.receiver import Receiver, receiver
from tests.support import STREAM, key_of, until_soon
from worker.observe.webhook import Message, Webhook
from worker.operations.context import OperatorContext
from worker.operations.notifier import LEASE_S, Notifier
from worker.operations.operator import Operator, Role
from worker.settings import Settings

MakeNotifier = Callable[[str], Notifier]


@pytest.fixture
def told() -> Iterator[Receiver]:
    """A receiver."""
    with receiver() as running:
        yield running


class Killed(BaseException):
    """The process has ended."""


class MortalLease(AlertLease):
    """A lease whose holder's process may end when it would write down what became of a message."""

    def __init__(self, lease: AlertLease, ledger: MortalLedger) -> None:
        self.__dict__.update(lease.__dict__)
        self._ledger = ledger

    async def done(self, cursor: str, outcome: Delivery | None) -> bool:
        """Write it down, if it lives."""
        self._live()
        return await super().done(cursor, outcome)

    async def failed(self) -> None:
        """The same for a try that failed."""
        self._live()
        await super().failed()

    def _live(self) -> None:
        if self._ledger.dies:
            raise Killed


class MortalLedger(Ledger):
    """A ledger with such leases. `dies`: whether they end their processes."""

    dies = False

    def alert_lease(self, name: str) -> AlertLease:
        """Return a lease whose holder may die."""
        return MortalLease(super().alert_lease(name), self)


class Faulty(Webhook):
    """A webhook with a fault in it."""

    async def send(self, message: Message) -> str | None:
        """Fail."""
        raise RuntimeError("a fault")


@pytest.fixture
def ledger(real: Redis) -> MortalLedger:
    """An empty ledger."""
    return MortalLedger(real)


@pytest.fixture
def context(ledger: MortalLedger, store_url: str) -> OperatorContext:
    """What a notifier works with."""
    return OperatorContext(Operator("closer", Role.VIEWER, "alerts"), Settings(redis_url=SecretStr(store_url)), ledger)


@pytest.fixture
async def notifier(context: OperatorContext, told: Receiver) -> AsyncIterator[MakeNotifier]:
    """Makes notifiers, each as in a process of its own."""
    made: list[Notifier] = []

    def make(name: str) -> Notifier:
        made.append(Notifier(context, Webhook(told.url, None), name, stands_s=0.0))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


async def running(one: Notifier, until: Callable[[], bool]) -> None:
    """Let it work until this is so. It ends between two steps: what it has sent is written down."""
    async with asyncio.timeout(20):
        while not until():
            await one.step()


async def begun(one: Notifier, ledger: Ledger, told: Receiver) -> None:
    """It has the lease, and has told that no worker is alive."""
    await running(one, lambda: told.kinds == ["trouble"])
    assert told.documents[0]["data"]["key"] == "no_workers"
    told.got.clear()
    await ledger.heartbeats.write("host:1", {})


async def lease_ends(ledger: Ledger) -> None:
    """As if its holder had died that long ago."""
    now_ms = await ledger.catalogue.now_ms()
    await ledger.redis.hset(key_of("alerts"), "until", str(now_ms - 1))


async def test_what_happens_is_told_in_order(notifier: MakeNotifier, ledger: Ledger, told: Receiver) -> None:
    """The gate, first failures and rejected events; what no script tells, with its end; each with words for a chat."""
    one = notifier("one")
    await begun(one, ledger, told)
    await plant(ledger, [Seed(f"sg_{number}", Reason.GONE, 410) for number in range(12)])
    await ledger.gate.pause(by="ann", why="stocktaking")
    await ledger.gate.resume(by="ann", why="done")
    await running(one, lambda: len(told.got) == 5)
    assert sorted(told.kinds) == ["failure", "failures_growing", "gate_opened", "gate_shut", "recovered"]
    gate, opened = (document for document in told.documents if document["data"]["key"] == "gate:paused")
    assert (gate["text"], gate["data"]["status"]) == ("closer: the gate was shut: paused, by ann", "firing")
    assert opened["data"]["status"] == "resolved"
    assert len({*told.ids}) == 5
    tally = (await ledger.measures.read(STREAM)).tally
    assert (tally.of("alerts", "delivered"), tally.of("alerts", "failed")) == (6, 0)


async def test_a_receiver_that_fails_is_asked_again(notifier: MakeNotifier, ledger: Ledger, told: Receiver) -> None:
    """The same message with the same id, until it takes it; the next one only then."""
    one = notifier("one")
    await begun(one, ledger, told)
    told.status = 503
    await ledger.gate.pause(by="ann", why="x")
    await running(one, lambda: len(told.got) >= 2)
    assert len({*told.ids}) == 1
    told.status = 204
    await running(one, lambda: "recovered" in told.kinds and "gate_shut" in told.kinds)
    assert len({*told.ids}) == 2
    tally = (await ledger.measures.read(STREAM)).tally
    assert tally.of("alerts", "failed") >= 2


@pytest.mark.parametrize("status", [204, 500])
async def test_a_notifier_that_is_killed(
    notifier: MakeNotifier, ledger: MortalLedger, told: Receiver, status: int
) -> None:
    """Just after a delivery, or after a try that failed: the next one sends that message again, with the same id."""
    one = notifier("one")
    await begun(one, ledger, told)
    await running(one, lambda: told.kinds == ["recovered"])
    told.got.clear()
    await ledger.gate.pause(by="ann", why="x")
    told.status, ledger.dies = status, True
    with pytest.raises(Killed):
        await running(one, lambda: False)
    told.status, ledger.dies = 204, False
    await lease_ends(ledger)
    await ledger.gate.resume(by="ann", why="x")
    await running(notifier("two"), lambda: "gate_opened" in told.kinds)
    assert told.kinds == ["gate_shut", "gate_shut", "gate_opened"]
    assert told.ids[0] == told.ids[1] != told.ids[2]


async def test_only_one_sends(notifier: MakeNotifier, ledger: Ledger, told: Receiver) -> None:
    """Of several that run at the same time; each message comes once."""
    one, two = notifier("one"), notifier("two")
    await begun(one, ledger, told)
    for _ in range(5):
        await ledger.gate.pause(by="ann", why="x")
        await ledger.gate.resume(by="ann", why="x")
    other = asyncio.create_task(two.step())
    await running(one, lambda: len(told.got) == 11)
    other.cancel()
    assert len({*told.ids}) == 11


async def test_an_alert_that_is_an_hour_old_is_given_up(notifier: MakeNotifier, ledger: Ledger, told: Receiver) -> None:
    """It is counted, and the next one is sent."""
    one = notifier("one")
    await begun(one, ledger, told)
    old_ms = await ledger.catalogue.now_ms() - 3_600_001
    number = int(await ledger.redis.hget(key_of("told"), "number") or 0) + 1
    told_fields = json.dumps({"reason": "outage"})
    fields: dict[Any, Any] = {"v": 1, "number": number, "kind": "gate_shut", "at": old_ms, "fields": told_fields}
    await ledger.redis.xadd(key_of("notices"), fields)
    await ledger.redis.hset(key_of("told"), "number", str(number))
    await running(one, lambda: told.kinds == ["recovered"])
    assert (await ledger.measures.read(STREAM)).tally.of("alerts", "expired") == 1


async def test_notices_that_were_deleted_are_told(notifier: MakeNotifier, ledger: Ledger, told: Receiver) -> None:
    """How many; then those that are still there."""
    one = notifier("one")
    await begun(one, ledger, told)
    await ledger.gate.pause(by="ann", why="x")
    await ledger.gate.resume(by="ann", why="x")
    await ledger.gate.pause(by="ann", why="x")
    newest: Any = await ledger.redis.xrevrange(key_of("notices"), count=1)
    await ledger.redis.xtrim(key_of("notices"), minid=newest[0][0], approximate=False)
    await running(one, lambda: "recovered" in told.kinds)
    assert sorted(told.kinds) == ["gate_shut", "notices_missed", "recovered"]
    assert told.documents[0]["data"]["fields"] == {"missed": 2}


async def test_a_notice_that_is_missing_in_the_middle(notifier: MakeNotifier, ledger: Ledger, told: Receiver) -> None:
    """It is told once, in its place; what comes before and after it is sent."""
    one = notifier("one")
    await begun(one, ledger, told)
    for _ in range(2):
        await ledger.gate.pause(by="ann", why="x")
        await ledger.gate.resume(by="ann", why="x")
    entries: Any = await ledger.redis.xrevrange(key_of("notices"), count=3)
    await ledger.redis.xdel(key_of("notices"), entries[2][0])
    await running(one, lambda: "recovered" in told.kinds)
    assert told.kinds == ["gate_shut", "notices_missed", "gate_shut", "gate_opened", "recovered"]


async def test_what_is_not_a_notice_of_ours_is_passed_over(
    notifier: MakeNotifier, ledger: Ledger, told: Receiver
) -> None:
    """Another program's entry, and a short wait that the API asked for."""
    one = notifier("one")
    await begun(one, ledger, told)
    await ledger.redis.xadd(key_of("notices"), {"foreign": "x"})
    await ledger.gate.throttle(2)
    await ledger.gate.pause(by="ann", why="x")
    await running(one, lambda: "gate_shut" in told.kinds and "recovered" in told.kinds)
    assert sorted(told.kinds) == ["gate_shut", "recovered"]


async def test_a_fault_of_its_own_ends_nothing(context: OperatorContext, caplog: pytest.LogCaptureFixture) -> None:
    """It is logged, and the next step goes on: work must not end with the alerts."""
    step = asyncio.create_task(Notifier(context, Faulty("http://h/x", None), "one", stands_s=0.0).step())
    await until_soon(lambda: "no alerts can be sent for now" in caplog.text)
    step.cancel()


def test_the_lease_outlives_a_step() -> None:
    """One delivery takes ten seconds at most, and the store's answers as long."""
    assert LEASE_S >= 30
