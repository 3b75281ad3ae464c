"""A stand-in for the API: real HTTP on loopback, the replies scripted one by one, every request kept."""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

REF = "sg_1"
Answer = tuple[int, Any] | tuple[int, Any, dict[str, str]] | str
CLOSED = (200, {"reference": REF})


def state(name: str) -> Answer:
    """The group's state."""
    return (200, {"reference": REF, "state": name})


@dataclass
class StandIn:
    """Gives the scripted answers in turn: (status, JSON or bytes[, headers]), "cut" or "hang".

    With `let` it closes every group instead, each once `let` is set.
    """

    url: str = ""
    script: deque[Answer] = field(default_factory=deque)
    requests: list[web.BaseRequest] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    let: asyncio.Event | None = None

    @property
    def calls(self) -> list[str]:
        """What was asked, in short: close, lock, state."""
        names = [request.path.rpartition("/")[2] for request in self.requests]
        return [name if name in ("close", "lock") else "state" for name in names]

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The next answer of the script."""
        self.requests.append(request)
        self.bodies.append(await request.read())
        if self.let is not None:
            await self.let.wait()
            return web.json_response({"reference": request.path.split("/")[-2]})
        answer = self.script.popleft()
        if isinstance(answer, str):
            if answer == "hang":
                await asyncio.sleep(30)
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        status, body, headers = (*answer, {})[:3]
        if isinstance(body, bytes):
            return web.Response(status=status, body=body, headers=headers)
        if body is None:
            return web.Response(status=status, headers=headers)
        return web.json_response(body, status=status, headers=headers)


@asynccontextmanager
async def stand_in(tls: ssl.SSLContext | None = None) -> AsyncIterator[StandIn]:
    """A stand-in that listens."""
    api = StandIn()
    runner = web.ServerRunner(web.Server(api.answer), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    host, port = runner.addresses[0][:2]
    api.url = f"{'https' if tls else 'http'}://{host}:{port}/pro"
    try:
        yield api
    finally:
        await runner.cleanup()
