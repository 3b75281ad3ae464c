"""The stand-in API: answers every close after a fixed time, and remembers each one. A process of its own.

It is told what to do by lines on its standard input and answers on its standard output, so that nothing has to ask
it again and again while it is measured:
  `reset N SECONDS`  forget everything; N groups will be closed, each call takes so long
  `report FILE`      write what happened as JSON
It says `first` when the first call arrives, and `done` when N groups have been closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

BASE = "/pro"
_REPLY = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    b'{"reference":"%b","message":"Shipment group %b has been closed successfully",'
    b'"_links":[{"href":"http://127.0.0.1/pro/shipments/groups/%b","rel":"self","reference":"%b","type":"shipment_group"}]}'
)
_ALREADY = b"HTTP/1.1 304 Not Modified\r\n\r\n"
_UNKNOWN = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


class Tally:
    """What was asked and what took effect; times are seconds of the monotonic clock, which all processes share."""

    def __init__(self, expected: int = 0, latency_s: float = 0.0) -> None:
        self.expected = expected
        self.latency_s = latency_s
        self.arrived: dict[bytes, float] = {}
        self.closed: dict[bytes, float] = {}
        self.calls = 0
        self.connections = 0

    def arrives(self, reference: bytes, now: float) -> None:
        """A call for this group has come."""
        self.calls += 1
        self.arrived.setdefault(reference, now)
        if self.calls == 1:
            say("first")

    def takes_effect(self, reference: bytes, now: float) -> bool:
        """The call's time is over; whether it closed the group, which only the first call does."""
        if reference in self.closed:
            return False
        self.closed[reference] = now
        if len(self.closed) == self.expected:
            say("done")
        return True

    def as_json(self) -> str:
        """Everything, for the process that measures."""
        closes = {ref.decode(): [self.arrived[ref], at] for ref, at in self.closed.items()}
        return json.dumps({"calls": self.calls, "connections": self.connections, "closes": closes})


class Api:
    """The state that all connections share."""

    def __init__(self) -> None:
        self.tally = Tally()

    def obey(self, line: str) -> None:
        """Do what a line on the standard input says."""
        verb, *arguments = line.split(maxsplit=2)
        if verb == "reset":
            self.tally = Tally(int(arguments[0]), float(arguments[1]))
        elif verb == "report":
            Path(arguments[0]).write_text(self.tally.as_json())
        say(verb)


class Connection(asyncio.Protocol):
    """One connection: one call after the other, bodies are not expected."""

    def __init__(self, api: Api, loop: asyncio.AbstractEventLoop) -> None:
        self._api = api
        self._loop = loop
        self._buffer = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._api.tally.connections += 1

    def data_received(self, data: bytes) -> None:
        """A part of a request, most often a whole one."""
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        self._buffer = rest
        method, path, _ = head.split(b" ", 2)
        if method != b"POST" or not path.endswith(b"/close"):
            self._transport.write(_UNKNOWN)
            return
        reference = path.split(b"/")[-2]
        tally = self._api.tally
        tally.arrives(reference, self._loop.time())
        self._loop.call_later(tally.latency_s, self._answer, tally, reference)

    def _answer(self, tally: Tally, reference: bytes) -> None:
        self._transport.write(_closed(reference) if tally.takes_effect(reference, self._loop.time()) else _ALREADY)


def _closed(ref: bytes) -> bytes:
    reply = _REPLY % (0, ref, ref, ref, ref)
    body = len(reply) - reply.index(b"\r\n\r\n") - 4
    return _REPLY % (body, ref, ref, ref, ref)


def say(word: str) -> None:
    """One word on a line, at once."""
    sys.stdout.write(word + "\n")
    sys.stdout.flush()


async def _main() -> None:
    loop = asyncio.get_running_loop()
    api = Api()
    server = await loop.create_server(lambda: Connection(api, loop), "127.0.0.1", 0, backlog=2048)
    say(str(server.sockets[0].getsockname()[1]))
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    while line := await commands.readline():  # ends with the process that measures: its end of the pipe closes
        api.obey(line.decode())


if __name__ == "__main__":
    asyncio.run(_main())
