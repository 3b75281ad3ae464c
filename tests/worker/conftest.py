"""Fixtures of the worker's tests: the stand-in of the API with a client of it, and works over both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from redis.asyncio import Redis

from tasks.api.client import SortedApi
from tests.tasks.conftest import api, standin
from tests.tasks.standin import StandIn
from tests.worker.works import Works

__all__ = ["api", "standin"]  # fixtures


@pytest.fixture
async def works(real: Redis, api: SortedApi) -> AsyncIterator[Callable[..., Works]]:
    """Makes works; stops their settlers afterwards."""
    made: list[Works] = []

    def make(**options: Any) -> Works:
        made.append(Works(real, api, **options))
        return made[-1]

    yield make
    for work in made:
        work.running.cancel()


@pytest.fixture
def let(standin: StandIn) -> asyncio.Event:
    """The stand-in closes every group, once this is set."""
    standin.let = asyncio.Event()
    return standin.let
