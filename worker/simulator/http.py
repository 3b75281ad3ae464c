"""The simulator's HTTP/1.1 server: reads requests, and writes replies or any other bytes.

It is an asyncio protocol and no web framework for two reasons. A script may send what is not HTTP. And benchmarks
measure the worker, so the server must cost far less for a call than the worker does.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

from multidict import CIMultiDict

from worker.simulator.script import Raw, Reply

MAX_BYTES = 1_048_576
ABORT_LIMIT_S = 1.0
_PHRASES = {status.value: status.phrase for status in HTTPStatus}
_BODILESS = (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED)
_END = b"\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Request:
    """A request; `keep` says whether the client wants the connection kept."""

    method: str
    target: str
    headers: CIMultiDict[str]
    body: bytes
    keep: bool

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]


def read(buffer: bytes) -> tuple[Request, bytes] | None:
    """The first request of `buffer` and the bytes after it; None while it is not complete.

    Raises ValueError for what is not HTTP/1, and for a body without a Content-Length.
    """
    head, end, rest = buffer.partition(_END)
    if not end:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    method, target, version = first.split(" ")
    headers = CIMultiDict(_header(line) for line in lines)
    length = int(headers.get("Content-Length", "0"))
    if not version.startswith("HTTP/1.") or "Transfer-Encoding" in headers or length < 0:
        raise ValueError("not a request of HTTP/1 with a known length")
    if len(rest) < length:
        return None
    keep = version == "HTTP/1.1" and headers.get("Connection", "").lower() != "close"
    return Request(method, target, headers, rest[:length], keep), rest[length:]


def encode(reply: Reply, method: str = "GET") -> bytes:
    """The reply's bytes. A 204, a 304 and the reply to HEAD have no body."""
    body = reply.body or b""
    lines = [f"HTTP/1.1 {reply.status} {_PHRASES.get(reply.status, '')}"]
    given = CIMultiDict(reply.headers or {})
    if "Date" not in given:
        lines.append(f"Date: {_date(int(time.time()))}")
    if reply.status in _BODILESS:
        body = b""
    else:
        lines.append(f"Content-Length: {len(body)}")
        if body and "Content-Type" not in given:
            lines.append(f"Content-Type: {reply.content_type}")
    lines += [f"{name}: {value}" for name, value in given.items()]
    return "\r\n".join(lines).encode("latin-1") + _END + (b"" if method == "HEAD" else body)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise ValueError("not a header")
    return name, value.strip()


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)


class Connection(asyncio.Protocol):
    """One connection. Its requests are served one after the other, in the order of arrival."""

    def __init__(self, server: Server) -> None:
        self.number = 0
        self.lost = asyncio.Event()
        self._server = server
        self._buffer = b""
        self._busy = False
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.connections += 1
        self.number = self._server.connections
        self._server.open.add(self)

    @property
    def gone(self) -> bool:
        """Whether the connection has ended."""
        return self.lost.is_set()

    def connection_lost(self, _: Exception | None) -> None:
        """The connection has ended. A call that is being served goes on: its effect does not need the client."""
        self.lost.set()
        self._server.open.discard(self)

    def data_received(self, data: bytes) -> None:
        """A part of a request, most often a whole one."""
        self._buffer += data
        if not self._busy:
            self._next()

    def send(self, reply: Reply, request: Request) -> None:
        """Write a reply; the connection ends when the client wants that."""
        self._write(encode(reply, request.method), end=not request.keep)

    async def send_raw(self, raw: Raw) -> None:
        """Write bytes as they are."""
        if raw.every_s:
            for byte in raw.sent:
                self._write(bytes([byte]))
                await asyncio.sleep(raw.every_s)
            self._write(b"", end=raw.end)
        else:
            self._write(raw.sent, end=raw.end)

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    def _write(self, data: bytes, *, end: bool = False) -> None:
        if not self.gone:
            self._transport.write(data)
            if end:
                self._transport.close()

    def _next(self) -> None:
        try:
            found = read(self._buffer)
        except ValueError:
            self._write(encode(Reply(400)), end=True)
            return
        if found is not None:
            request, self._buffer = found
            self._busy = True
            self._server.serve(request, self).add_done_callback(self._served)
        elif len(self._buffer) > MAX_BYTES:
            self._write(encode(Reply(413)), end=True)

    def _served(self, task: asyncio.Task[None]) -> None:
        self._busy = False
        if task.cancelled() or task.exception():
            self.abort()
        elif not self._transport.is_closing():
            self._next()
        if not task.cancelled():
            task.result()  # raises what a script has raised: asyncio's handler reports it


Handler = Callable[[Request, Connection], Awaitable[None]]


class Server:
    """Listens, and calls `handler` for each request. `connections` counts those there have been."""

    def __init__(self, handler: Handler) -> None:
        self.connections = 0
        self.open: set[Connection] = set()
        self._handler = handler
        self._tasks: set[asyncio.Task[None]] = set()
        self._listener: asyncio.Server | None = None

    @property
    def running(self) -> bool:
        """Whether it listens."""
        return self._listener is not None

    async def start(self, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
        """Listen, and return the port. Raises OSError when that cannot be."""
        loop = asyncio.get_running_loop()
        self._listener = await loop.create_server(lambda: Connection(self), host, port, backlog=2048, ssl=tls)
        bound: int = self._listener.sockets[0].getsockname()[1]
        return bound

    def serve(self, request: Request, connection: Connection) -> asyncio.Task[None]:
        """Begin to serve a request."""
        task: asyncio.Task[None] = asyncio.ensure_future(self._handler(request, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self, limit_s: float) -> None:
        """Listen no more. Calls that are being served get `limit_s` seconds; then every connection ends."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=limit_s)
            for task in late:
                task.cancel()
        ending = list(self.open)
        for connection in ending:
            connection.abort()
        async with asyncio.timeout(ABORT_LIMIT_S):
            await asyncio.gather(*self._tasks, *(each.lost.wait() for each in ending), return_exceptions=True)
