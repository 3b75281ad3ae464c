"""An operator's questions while the fleet works: the gate counts when the call is made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from tasks.api.client import SortedApi
from tasks.ledger.ledger import Ledger
from tests.support import API_KEY, key_of
from tests.tasks.standin import StandIn, stand_in, state
from worker.operations.questions import Questions
from worker.operations.step import GateShut

RATE = 1.0  # calls a second: time enough to shut the gate between a slot's reservation and its call


@pytest.fixture
async def ledger(store_url: str) -> AsyncIterator[Ledger]:
    """An empty ledger, whose next slot for a call is a second off."""
    redis = Redis.from_url(store_url)
    ledger = Ledger(redis)
    await ledger.gate.slot(RATE)
    yield ledger
    await redis.aclose()


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    """An API that knows one open group."""
    async with stand_in() as running:
        running.script.append(state("open"))
        yield running


async def asked(ledger: Ledger, standin: StandIn, *, while_shut: bool = False) -> asyncio.Task[list[str | None]]:
    """A question whose slot is reserved, and has not come yet."""
    api = SortedApi(base_url=standin.url, key=SecretStr(API_KEY), version="1.1", timeout_s=5, connections=1)
    questions = Questions(ledger, api, rate_limit=RATE, while_shut=while_shut)

    async def ask() -> list[str | None]:
        try:
            return [*await questions.ask(["sg_1"])]
        finally:
            await api.aclose()

    async def reserved() -> Any:
        return await ledger.redis.hget(key_of("gate"), "tat")

    before = await reserved()
    task = asyncio.create_task(ask())
    while await reserved() == before:  # noqa: ASYNC110  (the store tells of no change)
        await asyncio.sleep(0)
    return task


async def test_a_pause_while_a_question_waits_for_its_slot(ledger: Ledger, standin: StandIn) -> None:
    """A gate that is shut after the slot was reserved, and before the call, is respected."""
    question = await asked(ledger, standin)
    await ledger.gate.pause(by="ann", why="no calls")
    with pytest.raises(GateShut):
        await question
    assert standin.calls == []


async def test_a_retry_after_while_a_question_waits_for_its_slot(ledger: Ledger, standin: StandIn) -> None:
    """The same for what the API asks of the fleet meanwhile, also where the operator passes over a shut gate."""
    question = await asked(ledger, standin, while_shut=True)
    await ledger.gate.pause(by="ann", why="no calls")
    await ledger.gate.throttle(600.0)
    assert await question == [None]
    assert standin.calls == []


async def test_a_question_waits_for_its_slot(ledger: Ledger, standin: StandIn) -> None:
    """With the gate open, or passed over, the question is asked when its slot comes."""
    question = await asked(ledger, standin, while_shut=True)
    await ledger.gate.pause(by="ann", why="no calls")
    assert await question == ["open"]
