"""The sweep: a real ledger, and a broker that writes down what it is given."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.asyncio import Redis

from tasks.closure import Outcome, State
from tasks.errors import StoreUnavailable
from tasks.events.event import GroupComplete
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Claim, Settlement
from tests.support import url_of, valkey
from worker.attempts.permission import Permission
from worker.dispatch.sweep import BATCH, BrokerUnavailable, Sweep

GROUPS = [f"sg_{number:03d}" for number in range(120)]


class Broker:
    """Keeps what was dispatched; refuses the batches after `takes`."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.takes = 1_000

    async def __call__(self, references: list[str]) -> None:
        """Take a message, or not."""
        if len(self.batches) >= self.takes:
            raise BrokerUnavailable("the broker is away")
        self.batches.append(references)

    @property
    def named(self) -> list[str]:
        """Every reference dispatched."""
        return [reference for batch in self.batches for reference in batch]


@pytest.fixture
async def ledger(real: Redis) -> Ledger:
    """A ledger with a hundred and twenty queued closures."""
    ledger = Ledger(real)
    await ledger.receive([GroupComplete(ref, "wms", "e1") for ref in GROUPS])
    return ledger


async def test_batches(ledger: Ledger) -> None:
    """What is due goes out in batches, each reference once; the next round has nothing to do."""
    broker = Broker()
    sweep = Sweep(ledger, broker, Permission(), most=400)
    await sweep.step()
    assert [len(batch) for batch in broker.batches] == [BATCH, 20]
    assert sorted(broker.named) == GROUPS
    sweep.poke()
    await asyncio.wait_for(sweep.step(), 10)
    assert len(broker.named) == len(GROUPS)


async def test_two_sweeps(ledger: Ledger) -> None:
    """Any number of workers sweep at once, and each reference goes out once."""
    broker = Broker()
    sweeps = [Sweep(ledger, broker, Permission(), most=400) for _ in range(4)]
    await asyncio.gather(*(sweep.step() for sweep in sweeps))
    assert sorted(broker.named) == GROUPS


async def test_a_broker_that_is_away(ledger: Ledger, caplog: pytest.LogCaptureFixture) -> None:
    """What was not published is due again at once, is said once, and goes out when the broker is back."""
    broker = Broker()
    broker.takes = 1
    sweep = Sweep(ledger, broker, Permission(), most=400)
    for _ in range(2):
        step = asyncio.create_task(sweep.step())
        while "dispatch waits" not in caplog.text:  # noqa: ASYNC110 - a log line is not an event
            await asyncio.sleep(0)
        await asyncio.wait_for(step, 10)
    assert len(broker.named) == BATCH
    broker.takes = 1_000
    await sweep.step()
    assert sorted(broker.named) == GROUPS
    lines = [record.getMessage() for record in caplog.records]
    assert lines[0] == "dispatch waits: the broker is away"
    assert len(lines) == 2
    assert lines[1].startswith("dispatch goes on")


async def test_made_room(ledger: Ledger) -> None:
    """A sweep that had no room for more goes on as soon as work has ended, without waiting for its time."""
    broker = Broker()
    sweep = Sweep(ledger, broker, Permission(), most=60)
    sweep.made_room()
    await sweep.step()
    assert len(broker.named) == 60
    step = asyncio.create_task(sweep.step())
    claims = await ledger.claim(broker.named, worker="w", lease_s=60)
    await ledger.settle(
        [
            Settlement(claim.reference, claim.lease, State.CLOSED, outcome=Outcome.CLOSED)
            for claim in claims.values()
            if isinstance(claim, Claim)
        ]
    )
    sweep.made_room()
    await asyncio.wait_for(step, 10)
    await asyncio.wait_for(sweep.step(), 10)
    assert sorted(broker.named) == GROUPS


async def test_a_poke_ends_the_wait(ledger: Ledger) -> None:
    """A new closure is dispatched at once: the sweep does not sleep through it."""
    broker = Broker()
    sweep = Sweep(ledger, broker, Permission(), most=400)
    await sweep.step()
    step = asyncio.create_task(sweep.step())
    await ledger.receive([GroupComplete("new", "wms", "e1")])
    sweep.poke()
    await asyncio.wait_for(step, 10)
    await asyncio.wait_for(sweep.step(), 10)
    assert broker.named[-1] == "new"


async def test_a_store_that_is_away_is_no_deaf_consumer(tmp_path: Path) -> None:
    """While the store is away no message counts as on its way: an outage does not end the worker as a deaf one."""
    with valkey(tmp_path) as server:
        client = Redis.from_url(url_of(server))
        ledger = Ledger(client)
        await ledger.receive([GroupComplete(ref, "wms", "e1") for ref in GROUPS])
        sweep = Sweep(ledger, Broker(), Permission(), most=400)
        await sweep.step()
        sweep.poke()
        await asyncio.wait_for(sweep.step(), 10)
        assert sweep.on_their_way == len(GROUPS)
        server.terminate()
        with pytest.raises(StoreUnavailable):
            await sweep.step()
        assert sweep.on_their_way == 0
        await client.aclose()
