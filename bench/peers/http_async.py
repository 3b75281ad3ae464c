"""The async peers' HTTP client: BENCH_CLIENT says which, `httpx` as their users would write it or bare `aiohttp`."""

from __future__ import annotations

import os
from typing import Any

from bench.groups import HEADERS, close_url, concurrency


class Closer:
    """One client for the whole process; `close` closes a group, and raises when that fails."""

    def __init__(self) -> None:
        self._httpx: Any = None
        self._aiohttp: Any = None

    async def open(self) -> None:
        """Make the client, on the running loop."""
        if os.environ["BENCH_CLIENT"] == "aiohttp":
            import aiohttp

            connector = aiohttp.TCPConnector(limit=concurrency())
            self._aiohttp = aiohttp.ClientSession(headers=HEADERS, connector=connector)
        else:
            import httpx

            limits = httpx.Limits(max_connections=concurrency(), max_keepalive_connections=concurrency())
            self._httpx = httpx.AsyncClient(headers=HEADERS, limits=limits, timeout=15)

    async def close(self, reference: str) -> None:
        """Close one group."""
        if self._httpx is not None:
            response = await self._httpx.post(close_url(reference))
            response.raise_for_status()
            response.json()
        else:
            async with self._aiohttp.post(close_url(reference)) as response:
                response.raise_for_status()
                await response.json()
