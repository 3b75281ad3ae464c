"""Held groups whose last call may have taken effect: their state is asked, and nothing is called."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tasks.api.client import SortedApi
from tasks.closure import State
from tasks.events.event import GroupComplete
from tasks.ledger.ledger import Ledger
from tests.support import key_of
from tests.tasks.standin import Answer, StandIn, state
from worker.process.asking import Asking

REF = "sg_1"


@pytest.fixture
async def ledger(real: Redis) -> Ledger:
    """A group is held whose lease has ended without a word."""
    ledger = Ledger(real)
    await ledger.receive([GroupComplete(REF, "wms", "e1")])
    await ledger.claim([REF], worker="w1", lease_s=0)
    [answer] = await ledger.holds.hold([REF], by="anna", why="test")
    assert answer.word == "held"
    return ledger


async def state_now(ledger: Ledger) -> State:
    """The closure's state."""
    [closure] = await ledger.read([REF])
    assert closure is not None
    return closure.state


@pytest.mark.parametrize(
    ("said", "end", "asks_again"),
    [("closed", State.CLOSED, False), ("locked", State.HELD, False), ("open", State.HELD, False)],
)
async def test_an_answer(
    ledger: Ledger, api: SortedApi, standin: StandIn, said: str, end: State, asks_again: bool
) -> None:
    """A group that is closed counts as closed; one that is not stays held. It is asked once, and never closed."""
    standin.script.append(state(said))
    asking = Asking(ledger, api, rate_limit=0)
    await asking.ask_some()
    await asking.ask_some()
    assert standin.calls == ["state"]
    assert await state_now(ledger) is end
    assert bool(await ledger.redis.zcard(key_of("ask"))) == asks_again


@pytest.mark.parametrize("answer", [(500, None), (404, {}), (401, {}), "cut"])
async def test_no_answer(ledger: Ledger, api: SortedApi, standin: StandIn, answer: Answer) -> None:
    """Whatever else the API says, the group stays held, and is asked again later."""
    standin.script.append(answer)
    await Asking(ledger, api, rate_limit=0).ask_some()
    assert await state_now(ledger) is State.HELD
    assert await ledger.redis.zcard(key_of("ask")) == 1


async def test_the_gate_counts(ledger: Ledger, api: SortedApi, standin: StandIn) -> None:
    """While an operator has paused, nothing is asked, and the question is kept."""
    await ledger.gate.pause(by="anna", why="test")
    await Asking(ledger, api, rate_limit=0).ask_some()
    assert standin.calls == []
    assert await ledger.redis.zcard(key_of("ask")) == 1


async def test_nothing_to_ask(real: Redis, api: SortedApi, standin: StandIn) -> None:
    """Without such groups the API hears nothing."""
    await Asking(Ledger(real), api, rate_limit=0).ask_some()
    assert standin.calls == []
