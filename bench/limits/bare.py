"""`python -m bench.limits.bare aiohttp|httpx N`: so many coroutines close N groups, and nothing else is done."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, Iterator

import aiohttp
import httpx
from httpx_aiohttp import HttpxAiohttpClient

from bench.groups import HEADERS, close_url, concurrency, references

Call = Callable[[str], Awaitable[None]]


async def with_aiohttp(count: int) -> None:
    """The leanest client there is in pure asyncio terms."""
    connector = aiohttp.TCPConnector(limit=concurrency())
    async with aiohttp.ClientSession(headers=HEADERS, connector=connector) as session:

        async def call(reference: str) -> None:
            async with session.post(close_url(reference)) as response:
                response.raise_for_status()
                await response.json()

        await _all(call, count)


async def with_httpx(count: int) -> None:
    """httpx's API over aiohttp's transport."""
    limits = httpx.Limits(max_connections=concurrency(), max_keepalive_connections=concurrency())
    async with HttpxAiohttpClient(headers=HEADERS, limits=limits, timeout=15) as client:

        async def call(reference: str) -> None:
            response = await client.post(close_url(reference))
            response.raise_for_status()
            response.json()

        await _all(call, count)


async def _all(call: Call, count: int) -> None:
    todo = references(count)
    await asyncio.gather(*(_one_after_the_other(call, todo) for _ in range(concurrency())))


async def _one_after_the_other(call: Call, todo: Iterator[str]) -> None:
    for reference in todo:
        await call(reference)


async def main(client: str, count: int) -> None:
    """Close the groups, then stay until told to stop: what a process used is read while it lives."""
    await (with_aiohttp if client == "aiohttp" else with_httpx)(count)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
