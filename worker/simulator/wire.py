"""Brings an answer of the simulated API to the client: as an HTTP reply, as bytes, or not at all."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import assert_never
from weakref import WeakKeyDictionary

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter

from worker.simulator.script import DROPPED, Answer, Hang, Raw, Reply

HANG_LIMIT_S = 120.0
HANG_LOOK_S = 0.05


class Connections:
    """Numbers the connections that requests come on, from 1."""

    def __init__(self) -> None:
        self.count = 0
        self._numbers: WeakKeyDictionary[asyncio.BaseTransport, int] = WeakKeyDictionary()

    def number(self, request: web.BaseRequest) -> int:
        """Return the number of this request's connection, 0 when the client has gone already."""
        if request.transport is None:
            return 0
        if request.transport not in self._numbers:
            self.count += 1
            self._numbers[request.transport] = self.count
        return self._numbers[request.transport]


class _RawResponse(web.Response):
    """Bytes in place of a reply. aiohttp reads the next request when they are sent."""

    def __init__(self, raw: Raw) -> None:
        super().__init__()
        self._raw = raw

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        if self._raw.every_s:
            for byte in self._raw.sent:
                _write(request, bytes([byte]))
                await asyncio.sleep(self._raw.every_s)
        else:
            _write(request, self._raw.sent)
        if self._raw.end and request.transport is not None:
            request.transport.close()
        return None

    @property
    def keep_alive(self) -> bool:
        return not self._raw.end

    async def write_eof(self, data: bytes = b"") -> None:
        assert not data


async def response(request: web.BaseRequest, answer: Answer, lasts: Callable[[], bool]) -> web.Response:
    """Return the answer for aiohttp to send. A hang ends when `lasts` returns False."""
    match answer:
        case Reply(status, None, _, headers):
            return web.Response(status=status, headers=headers)
        case Reply(status, body, kind, headers):
            given = {name.lower() for name in headers or ()}
            return web.Response(
                status=status, body=body, headers=headers, content_type=None if "content-type" in given else kind
            )
        case Raw():
            return _RawResponse(answer)
        case Hang():
            await hang(request, lasts)
            return _RawResponse(DROPPED)
        case _:
            assert_never(answer)


async def hang(request: web.BaseRequest, lasts: Callable[[], bool]) -> None:
    """Wait while `lasts` returns True and the client waits, for at most HANG_LIMIT_S seconds."""
    for _ in range(int(HANG_LIMIT_S / HANG_LOOK_S)):
        if request.transport is None or not lasts():
            break
        await asyncio.sleep(HANG_LOOK_S)


def _write(request: web.BaseRequest, data: bytes) -> None:
    if request.transport is not None and data:
        assert isinstance(request.transport, asyncio.Transport)
        request.transport.write(data)
