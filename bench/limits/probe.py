"""`python -m bench.limits.probe N`: bare sockets close N groups as fast as the simulated API answers: its own limit."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from bench.groups import HEADERS, close_url, concurrency, references

_HEAD = "".join(f"{name}: {value}\r\n" for name, value in HEADERS.items())


class Probe(asyncio.Protocol):
    """One connection: the next request as soon as the reply to the last one is there."""

    def __init__(self, todo: Iterator[str], ended: Callable[[], None]) -> None:
        self._todo = todo
        self._ended = ended
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def data_received(self, data: bytes) -> None:
        """A reply ends with the brace that closes its JSON."""
        self._buffer += data
        if self._buffer.endswith(b"]}"):
            self._buffer = b""
            self._next()

    def _next(self) -> None:
        reference = next(self._todo, None)
        if reference is None:
            self._ended()
            return
        url = urlsplit(close_url(reference))
        request = f"POST {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n{_HEAD}Content-Length: 0\r\n\r\n"
        self._transport.write(request.encode())


async def main(count: int) -> None:
    """Close the groups, then stay until told to stop."""
    todo, (host, _, port) = references(count), urlsplit(close_url("")).netloc.partition(":")
    loop, over, left = asyncio.get_running_loop(), asyncio.Event(), concurrency()

    def ended() -> None:
        nonlocal left
        left -= 1
        if not left:
            over.set()

    for _ in range(left):
        await loop.create_connection(lambda: Probe(todo, ended), host, int(port))
    await asyncio.wait_for(over.wait(), 600)
    await asyncio.sleep(600)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
