"""A ledger for each test, on a real store and on fakeredis; a stand-in for the API, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from pydantic import SecretStr
from redis.asyncio import Redis

from tasks.api.client import SortedApi
from tasks.ledger.notices import Notices
from tests.support import API_KEY
from tests.tasks.book import Book
from tests.tasks.standin import StandIn, stand_in


@pytest.fixture
def book(any_store: Redis) -> Book:
    """An empty ledger on an explicit clock."""
    return Book(any_store)


@pytest.fixture
def notices(book: Book) -> Notices:
    """The notices of an empty ledger."""
    return book.ledger.notices


@pytest.fixture
async def standin() -> AsyncIterator[StandIn]:
    """A stand-in for the API."""
    async with stand_in() as running:
        yield running


@pytest.fixture
async def api(standin: StandIn) -> AsyncIterator[SortedApi]:
    """A client of it."""
    client = SortedApi(base_url=standin.url, key=SecretStr(API_KEY), version="1.1", timeout_s=5, connections=4)
    yield client
    await client.aclose()
