"""A ledger for each test: on a real store and on fakeredis, which must behave the same."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from tests.tasks.book import Book


@pytest.fixture
def book(any_store: Redis) -> Book:
    """An empty ledger on an explicit clock."""
    return Book(any_store)
