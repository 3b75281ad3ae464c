"""A way to the store that ends right after any given command: all that a process has done which died at that step."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

Command = list[bytes]


class Way:
    """Forwards commands one by one, over any number of connections. `ended`: it was cut, and nobody gets through."""

    def __init__(self, port: int, last: Callable[[Command], bool]) -> None:
        """`port`: the store's. `last`: whether the way ends when the store has done this command, before its answer."""
        self.ended = False
        self._port = port
        self._last = last
        self._one_by_one = asyncio.Lock()
        self._clients: set[asyncio.StreamWriter] = set()

    async def serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        """Serve one connection of a client."""
        self._clients.add(to_client)
        store, to_store = await asyncio.open_connection("127.0.0.1", self._port)
        with suppress(OSError, asyncio.IncompleteReadError):
            while not self.ended:
                command, raw = await _command(client)
                async with self._one_by_one:
                    await self._step(command, raw, to_store, store, to_client)
        to_store.transport.abort()
        to_client.transport.abort()

    async def _step(
        self,
        command: Command,
        raw: bytes,
        to_store: asyncio.StreamWriter,
        store: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
    ) -> None:
        if self.ended:
            return
        last = self._last(command)
        to_store.write(raw)
        answer = await _answer(store)
        if last:
            self.end()
        else:
            to_client.write(answer)

    def end(self) -> None:
        """Cut every connection."""
        self.ended = True
        for client in self._clients:
            client.transport.abort()


async def _command(client: asyncio.StreamReader) -> tuple[Command, bytes]:
    raw = await client.readuntil(b"\r\n")
    words = []
    for _ in range(int(raw[1:])):
        head = await client.readuntil(b"\r\n")
        body = await client.readexactly(int(head[1:]) + 2)
        words.append(body[:-2])
        raw += head + body
    return words, raw


async def _answer(store: asyncio.StreamReader) -> bytes:
    """One reply of the store, whatever is nested in it."""
    line = await store.readuntil(b"\r\n")
    kind, number = line[:1], line[1:-2]
    if kind in b"$=" and number != b"-1":
        return line + await store.readexactly(int(number) + 2)
    items = int(number) * (2 if kind == b"%" else 1) if kind in b"*%~>" and number != b"-1" else 0
    for _ in range(items):
        line += await _answer(store)
    return line


@asynccontextmanager
async def way_that_ends(port: int, last: Callable[[Command], bool]) -> AsyncIterator[tuple[str, Way]]:
    """Yield the address of a way to the store at this port, and the way."""
    way = Way(port, last)
    serving: set[asyncio.Task[None]] = set()

    def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.add(asyncio.ensure_future(way.serve(reader, writer)))

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0", way
    way.end()
    server.close()
    await asyncio.gather(*serving)
