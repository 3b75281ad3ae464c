"""A simulator that listens, and a client of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from tests.simulator.support import HEADERS, LIMIT_S
from worker.simulator.server import Simulator


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulator that listens, without faults."""
    running = Simulator(seed=7)
    await running.start()
    yield running
    await asyncio.wait_for(running.stop(), LIMIT_S)


@pytest.fixture
async def api(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it with the right headers."""
    async with httpx.AsyncClient(base_url=simulator.base_url, headers=HEADERS, timeout=LIMIT_S) as client:
        yield client
