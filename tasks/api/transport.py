"""Connections to the API: what is read from them, how long they are kept, and when one is not used again."""

from __future__ import annotations

import functools
import re
import select
import ssl
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from tasks.api.standstill import now_s

# Heads are as large as gateways make them: cookies, policies, traces. More than this would be no reply, but an attack.
MAX_HEAD_BYTES = 256 * 1024
_MAX_LINE_BYTES = 64 * 1024
_MAX_HEADERS = 2_000
# An idle connection is given up before a server does: Node, Apache and uvicorn close theirs after 5 s, gateways after
# 10 s to 6 minutes. What a server announces (`Keep-Alive: timeout=N`) counts where it is less.
IDLE_S = 4.0
_EARLIER_S = 1.0

_ANNOUNCED = re.compile(r"timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_BODILESS = (b"204", b"304")  # RFC 9110, 6.4.1: these have no body, whatever their headers say
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_ANNOUNCES_BODY = re.compile(rb"\n(?:content-length:[ \t]*0*[1-9]|transfer-encoding:)", re.IGNORECASE)


def session(connections: int, certificates: ssl.SSLContext) -> aiohttp.ClientSession:
    """A session with at most so many connections. It sends no header by itself that is the API's, keeps no cookie."""
    made = aiohttp.ClientSession(
        connector=_Connector(limit=connections, keepalive_timeout=IDLE_S, ssl=certificates),
        cookie_jar=_NoCookies(),
        # There is no body, so there is no type of it: aiohttp would send `application/octet-stream`.
        skip_auto_headers=["Content-Type"],
        max_line_size=_MAX_LINE_BYTES,
        max_field_size=_MAX_LINE_BYTES,
        max_headers=_MAX_HEADERS,
    )
    made._retry_connection = False  # noqa: SLF001 - aiohttp would repeat a GET of which it has written all bytes
    return made


class _NoCookies(aiohttp.DummyCookieJar):
    def update_cookies_from_headers(self, *_: Any) -> None:
        """Not even read them: that takes time, and some cannot be read."""


class _Connector(aiohttp.TCPConnector):
    """The same, with connections that know when they are good for another request."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._factory = cast("Any", functools.partial(Connection, loop=self._loop))


class Connection(ResponseHandler):
    """aiohttp's side of one connection, with three rules more.

    A head has a limit in all. What follows the head of a status that has no body is dropped with the connection;
    aiohttp would take it for the next reply. And a kept connection on which anything has come or waits to be read, most
    likely its end, is not used again: not one byte of the request has been written then, so another may be taken.
    """

    def __init__(self, loop: Any) -> None:
        super().__init__(loop=loop)
        self._head: bytearray | None = None  # what has come of a reply's head; None: it has come, or none is awaited
        self._over = False  # what comes now belongs to no reply
        self._good_until = 0.0

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be written."""
        self._head = bytearray()
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""
        if self._head is None:
            if not self._over:
                super().data_received(data)
            return
        self._head += data
        if self._head[9:12] in _BODILESS:
            data = self._without_body(self._head, data)
        super().data_received(data)
        self._limit_head()

    def feed_data(self, data: Any, size: int = 0) -> None:
        """A head has come whole."""
        message = data[0]
        self._head = bytearray() if 100 < message.code < 200 else None
        announced = _ANNOUNCED.search(message.headers.get("Keep-Alive", ""))
        idle_s = min(IDLE_S, int(announced[1]) - _EARLIER_S) if announced else IDLE_S
        self._good_until = now_s() + idle_s
        super().feed_data(data, size)

    def is_connected(self) -> bool:
        """Whether it can be used; asked before it is used again."""
        return (
            super().is_connected() and not self.should_close and now_s() < self._good_until and not self._has_unread()
        )

    def _limit_head(self) -> None:
        if self._head is not None and len(self._head) > MAX_HEAD_BYTES and self.transport is not None:
            self.set_exception(HttpProcessingError(message=f"a head of more than {MAX_HEAD_BYTES} bytes"))
            self.transport.close()

    def _without_body(self, head: bytearray, data: bytes) -> bytes:
        end = _HEAD_END.search(head, max(0, len(head) - len(data) - 3))
        if end is None:
            return data
        surplus = len(head) - end.end()
        if surplus or _ANNOUNCES_BODY.search(head, 0, end.end()):
            self._over = True
            self.force_close()
        return data[: len(data) - surplus]

    def _has_unread(self) -> bool:
        assert self.transport is not None
        poll = select.poll()
        poll.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return bool(poll.poll(0))
