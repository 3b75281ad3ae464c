"""A real proxy on loopback: it keeps every byte that it is sent, and tunnels each CONNECT to one place."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

# A key and its own certificate, valid for api.test, localhost and 127.0.0.1 until the year 2126; a secret of nobody's.
TLS = Path(__file__).parent / "tls.pem"
ESTABLISHED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def server_tls() -> ssl.SSLContext:
    """What a server needs to speak TLS with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS)
    return context


@dataclass
class Tunnel:
    """`asked`: the requests to the proxy itself; `heard`: all bytes from clients, those that it only passes on, too."""

    port: int = 0
    answer: bytes = ESTABLISHED
    asked: list[bytes] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)

    @property
    def place(self) -> str:
        """Its host and port."""
        return f"127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: int) -> None:
        """One connection: hear the request, answer it, and when that says so, pass on whatever comes."""
        request = await reader.readuntil(b"\r\n\r\n")
        self.heard += request
        self.asked.append(request)
        writer.write(self.answer)
        if self.answer == ESTABLISHED:
            inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", target)
            await asyncio.gather(self._pass(reader, inner_writer, self.heard), self._pass(inner_reader, writer))
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async def _pass(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, heard: bytearray | None = None
    ) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if heard is not None:
                    heard += data
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def tunnel(target: int, tls: ssl.SSLContext | None = None) -> AsyncIterator[Tunnel]:
    """A proxy that listens, with TLS if told to; whatever it is asked for, it leads to this port."""
    proxy = Tunnel()
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        with suppress(asyncio.IncompleteReadError):
            await proxy.serve(reader, writer, target)

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await asyncio.wait_for(asyncio.gather(*filter(None, serving)), 10)
