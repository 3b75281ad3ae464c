"""Kept connections: one that the server has given up is not used again, and no call is made twice by itself."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from aiohttp.client_proto import ResponseHandler
from pydantic import SecretStr

from tasks.api import transport
from tasks.api.client import SortedApi
from tasks.api.reply import Body, Failure, NoReply, Reply
from tests.support import API_KEY
from tests.tasks.raw import raw_server
from tests.tasks.standin import CLOSED, REF, StandIn

OK = Reply(200, Body(reference=REF))
RAW_OK = b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"reference":"sg_1"}'
RESET = struct.pack("ii", 1, 0)  # SO_LINGER: closing sends RST
Deed = Callable[[socket.socket], None]


def end(connection: socket.socket) -> None:
    """Close it as servers do."""
    connection.close()


def reset(connection: socket.socket) -> None:
    """Close it as a process does that is killed."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    connection.close()


def say(words: bytes, then: Deed | None = None) -> Deed:
    """Say something that nobody asked for."""

    def do(connection: socket.socket) -> None:
        connection.sendall(words)
        if then is not None:
            then(connection)

    return do


class Server:
    """One connection after the other, each good for one reply; what is done to the first after that is the test's."""

    def __init__(self, deed: Deed) -> None:
        self._deed = deed
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(10)
        self._may, self._done = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.requests = 0

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def act(self) -> None:
        """Do the deed, and return when the kernel has it at the client's end."""
        self._may.set()
        assert self._done.wait(10)

    def _run(self) -> None:
        kept = []
        for deed in (self._deed, None):
            connection, _ = self._listener.accept()
            kept.append(connection)
            connection.settimeout(10)
            received = b""
            while not received.endswith(b"\r\n\r\n"):
                received += connection.recv(65_536)
            self.requests += 1
            connection.sendall(RAW_OK)
            if deed is not None:
                assert self._may.wait(10)
                deed(connection)
                self._done.set()
        assert self._may.wait(10)
        for connection in kept:
            connection.close()

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._may.set()
        self._thread.join(10)
        self._listener.close()


@contextmanager
def client(url: str) -> Iterator[SortedApi]:
    """A client with one connection."""
    yield SortedApi(base_url=url, key=SecretStr(API_KEY), version="1", timeout_s=5, connections=1)


DEEDS: dict[str, Deed] = {
    "ends": end,
    "resets": reset,
    "says 408 and ends": say(b"HTTP/1.1 408 Request Timeout\r\n\r\n", then=end),
    "says 304": say(b"HTTP/1.1 304 Not Modified\r\n\r\n"),
    "says another 200": say(RAW_OK),
    "says nothing that is HTTP": say(b"bye\n"),
}


@pytest.mark.parametrize("seen", [False, True], ids=["unseen", "seen"])
@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS)
async def test_a_connection_that_the_server_gave_up(deed: Deed, seen: bool) -> None:
    """The call goes out on another connection at once, and gets its own reply, whether or not the loop knew already."""
    with Server(deed) as server, client(server.url) as api:
        assert await api.close(REF) == OK
        server.act()  # it blocks the loop, which has no chance to see
        for _ in range(5 if seen else 0):
            await asyncio.sleep(0)
        assert await api.close(REF) == OK
        assert server.requests == 2
        await api.aclose()


async def test_a_connection_that_ends_before_a_byte_is_written(
    api: SortedApi, standin: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the connection ends between the look at it and the first byte, the call is made once more, at once."""
    real = ResponseHandler.set_response_params
    ended: list[asyncio.Transport] = []

    def close_once(self: ResponseHandler, **params: Any) -> None:
        real(self, **params)
        if not ended and self.transport is not None:
            ended.append(self.transport)
            self.transport.close()

    monkeypatch.setattr(ResponseHandler, "set_response_params", close_once)
    standin.script.append(CLOSED)
    assert await api.close(REF) == OK
    assert len(standin.requests) == 1
    assert ended


@pytest.mark.parametrize("call", ["close", "lock", "state"])
async def test_what_has_been_written_is_never_repeated(api: SortedApi, standin: StandIn, call: str) -> None:
    """A kept connection that is cut under a call, be it a question only, ends the call: nobody knows what it did."""
    standin.script.extend([CLOSED, "cut", CLOSED])
    await api.close(REF)
    reply = await getattr(api, call)(REF)
    assert isinstance(reply, NoReply)
    assert reply.failure is Failure.CUT
    assert len(standin.requests) == 2


async def connections(headers: bytes = b"") -> int:
    """How many connections two calls in a row take, when the server's replies have these headers."""
    said = RAW_OK.replace(b"OK\r\n", b"OK\r\n" + headers)
    async with raw_server([said, said], shut=False) as raw:
        assert [await raw.api.close(REF), await raw.api.close(REF)] == [OK, OK]
        return raw.connections


async def test_connections_are_kept_for_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls share a connection, until it has been idle for as long as a server may have patience."""
    assert await connections() == 1
    monkeypatch.setattr(transport, "IDLE_S", 0.0)
    assert await connections() == 2


@pytest.mark.parametrize(
    ("announced", "expected"),
    [
        (b"Keep-Alive: timeout=60", 1),
        (b"Keep-Alive: max=100", 1),
        (b"Keep-Alive: timeout=soon", 1),
        (b"Keep-Alive: timeout=1", 2),
        (b"keep-alive: max=5, TIMEOUT = 1", 2),
        (b"Keep-Alive: timeout=0", 2),
        (b"Connection: close", 2),
    ],
)
async def test_a_server_may_announce_less(announced: bytes, expected: int) -> None:
    """A server that tells how long it keeps connections is believed, where that is less than we would."""
    assert await connections(announced + b"\r\n") == expected
