"""A scripted stand-in for the API, on real HTTP: it replies to each call what it was told to, and keeps every one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from threading import Thread
from typing import Literal

from aiohttp import web

BASE_PATH = "/pro"
LIMIT_S = 30.0
LOOK_S = 0.05

Endpoint = Literal["close", "lock", "get", "other"]


@dataclass(frozen=True, slots=True)
class Say:
    """An HTTP reply; `REF` in the body stands for the reference.

    With `on_date` it has a `Retry-After` with that date: a function of the moment of the call, in seconds since 1970.
    """

    status: int
    body: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    on_date: Callable[[float], int] | None = None

    def headers_at(self, on: float) -> Mapping[str, str]:
        """The headers of the reply to a call of that moment."""
        if self.on_date is None:
            return self.headers
        return {**self.headers, "Retry-After": formatdate(self.on_date(on), usegmt=True)}


@dataclass(frozen=True, slots=True)
class Raw:
    """These bytes instead of a reply, then the end of the connection; `status`: the one that is to be read, if any."""

    sent: bytes
    status: int | None = None


@dataclass(frozen=True, slots=True)
class Hang:
    """No reply at all, for as long as the client waits."""


Reply = Say | Raw | Hang


@dataclass(frozen=True, slots=True)
class Script:
    """What is replied to each call in turn, the last for ever; an endpoint without replies must not be called."""

    close: tuple[Reply, ...]
    state: tuple[Reply, ...] = ()
    lock: tuple[Reply, ...] = ()

    def reply(self, endpoint: Endpoint, number: int) -> Reply:
        """The reply to the n-th call (from 0) of this endpoint."""
        replies = {"close": self.close, "get": self.state, "lock": self.lock, "other": ()}[endpoint]
        return replies[min(number, len(replies) - 1)] if replies else Say(599, "a call that was not expected")


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came in; `at` by the monotonic clock, `on` by the calendar's, both in seconds."""

    reference: str
    endpoint: Endpoint
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    at: float
    on: float


class StandIn:
    """The server; references without a script get `default`."""

    def __init__(self, scripts: Mapping[str, Script], default: Script) -> None:
        self.calls: list[Call] = []
        self._scripts = scripts
        self._default = default

    def of(self, reference: str) -> list[Call]:
        """The calls for this reference, in order."""
        return [call for call in self.calls if call.reference == reference]

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request."""
        reference, endpoint = _target(request)
        number = sum(call.endpoint == endpoint for call in self.of(reference))
        body = await request.read()
        at, on = time.monotonic(), time.time()
        self.calls.append(Call(reference, endpoint, request.method, request.path_qs, request.headers, body, at, on))
        reply = self._scripts.get(reference, self._default).reply(endpoint, number)
        return await _send(request, reply, reference, on)


@contextmanager
def running(stand_in: StandIn) -> Iterator[str]:
    """The base URL of a stand-in that listens in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever, name="stand-in", daemon=True)
    thread.start()
    runner, base_url = asyncio.run_coroutine_threadsafe(_listen(stand_in), loop).result(LIMIT_S)
    try:
        yield base_url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(LIMIT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(LIMIT_S)
        loop.close()


async def _listen(stand_in: StandIn) -> tuple[web.ServerRunner, str]:
    runner = web.ServerRunner(web.Server(stand_in.serve), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, backlog=512).start()
    return runner, f"http://127.0.0.1:{runner.addresses[0][1]}{BASE_PATH}"


async def _send(request: web.BaseRequest, reply: Reply, reference: str, on: float) -> web.Response:
    match reply:
        case Say(status, body):
            content = body.replace("REF", reference).encode()
            return web.Response(status=status, body=content, headers=reply.headers_at(on))
        case Raw(sent):
            assert request.transport is not None
            request.transport.write(sent)
            request.transport.close()
        case Hang():
            for _ in range(int(LIMIT_S / LOOK_S)):
                if request.transport is None:  # the client gave up
                    break
                await asyncio.sleep(LOOK_S)
    return web.Response()  # never sent: the connection is gone


def _target(request: web.BaseRequest) -> tuple[str, Endpoint]:
    match request.method, request.path.removeprefix(f"{BASE_PATH}/shipment_groups/").split("/"):
        case "POST", [reference, "close"]:
            return reference, "close"
        case "POST", [reference, "lock"]:
            return reference, "lock"
        case "GET", [reference]:
            return reference, "get"
        case _:
            return request.path, "other"
