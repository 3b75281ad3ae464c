"""Limits how long a request waits for the store, so that a page or a sender hears soon that it is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.errors import StoreUnavailable

STORE_S = 2.0


@asynccontextmanager
async def store_time() -> AsyncIterator[None]:
    """Let what is inside take two seconds. Raises StoreUnavailable after that."""
    try:
        async with asyncio.timeout(STORE_S):
            yield
    except TimeoutError:
        raise StoreUnavailable(f"the store did not answer within {STORE_S:g} s") from None
