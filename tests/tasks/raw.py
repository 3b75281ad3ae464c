"""A server that says given bytes, whatever HTTP makes of them, and a client of the API that listens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from pydantic import SecretStr

from tasks.api.client import SortedApi
from tests.support import API_KEY


@dataclass
class Raw:
    """The client, and what the server saw."""

    api: SortedApi
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def raw_server(replies: Sequence[bytes], *, shut: bool, timeout_s: float = 5.0) -> AsyncIterator[Raw]:
    """Each request gets the next of the replies; after one the connection ends if `shut`, else it stays open."""
    speaking: list[asyncio.Task[None] | None] = []
    left = list(replies)

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        speaking.append(asyncio.current_task())
        raw.connections += 1
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            while True:
                raw.requests.append(await reader.readuntil(b"\r\n\r\n"))
                writer.write(left.pop(0))
                await writer.drain()
                if shut:
                    break
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()
    url = f"http://{host}:{port}"
    raw = Raw(SortedApi(base_url=url, key=SecretStr(API_KEY), version="1", timeout_s=timeout_s, connections=1))
    try:
        yield raw
    finally:
        await raw.api.aclose()
        server.close()
        await asyncio.wait_for(asyncio.gather(*filter(None, speaking)), 10)
