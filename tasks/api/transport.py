"""Connections to the API: how large a reply's head may be, how long a connection is kept, and when it is not reused."""

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

# Gateways add cookies, policies and traces to heads. A head that is larger than this is an attack, not a reply.
MAX_HEAD_BYTES = 256 * 1024
_MAX_LINE_BYTES = 64 * 1024
_MAX_HEADERS = 2_000
# An idle connection is closed here before the server does it: Node, Apache and uvicorn after 5 s, gateways after 10 s
# to 6 minutes. The time that a server announces (`Keep-Alive: timeout=N`) counts if it is shorter.
IDLE_S = 4.0
_EARLIER_S = 1.0

_ANNOUNCED = re.compile(r"timeout\s*=\s*\"?(\d{1,9})", re.IGNORECASE)
_BODILESS = (b"204", b"304")  # these have no body, whatever their headers say (RFC 9110, 6.4.1)
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_ANNOUNCES_BODY = re.compile(rb"\n(?:content-length:[ \t]*0*[1-9]|transfer-encoding:)", re.IGNORECASE)


def session(connections: int, certificates: ssl.SSLContext) -> aiohttp.ClientSession:
    """Return a session with at most `connections` connections. It must be made on the running loop.

    It keeps no cookie, and sends none of the API's headers by itself. It repeats no request.
    """
    made = aiohttp.ClientSession(
        connector=_Connector(limit=connections, keepalive_timeout=IDLE_S, ssl=certificates),
        cookie_jar=_NoCookies(),
        # Requests have no body, so they need no type. aiohttp would send `application/octet-stream`.
        skip_auto_headers=["Content-Type"],
        max_line_size=_MAX_LINE_BYTES,
        max_field_size=_MAX_LINE_BYTES,
        max_headers=_MAX_HEADERS,
    )
    made._retry_connection = False  # noqa: SLF001 - aiohttp would send a GET again that was written whole
    return made


class _NoCookies(aiohttp.DummyCookieJar):
    def update_cookies_from_headers(self, *_: Any) -> None:
        """Do not even read them: that takes time, and some cannot be read."""


class _Connector(aiohttp.TCPConnector):
    """aiohttp's connector, with connections of the class `Connection`."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self._factory = cast("Any", functools.partial(Connection, loop=self._loop))


class Connection(ResponseHandler):
    """aiohttp's side of one connection, with three rules more.

    A reply's head has a limit in all, MAX_HEAD_BYTES. Bytes after the head of a status that has no body are dropped,
    and the connection is closed; aiohttp would take them for the next reply. A kept connection is not used again if
    anything has come on it or waits to be read, which most likely is its end. No byte of the request has been written
    then, so it is safe to send it on another connection.
    """

    def __init__(self, loop: Any) -> None:
        super().__init__(loop=loop)
        self._head: bytearray | None = None  # what has come of a reply's head; None: no head is awaited
        self._over = False  # bytes that come now belong to no reply
        self._good_until = 0.0

    def set_response_params(self, **params: Any) -> None:
        """Expect a reply's head, because a request is about to be written."""
        self._head = bytearray()
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Take bytes that have come: drop what belongs to no reply, and limit the head."""
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
        """Note that a head is complete, and until when the connection may be used again."""
        message = data[0]
        self._head = bytearray() if 100 < message.code < 200 else None
        announced = _ANNOUNCED.search(message.headers.get("Keep-Alive", ""))
        idle_s = min(IDLE_S, int(announced[1]) - _EARLIER_S) if announced else IDLE_S
        self._good_until = now_s() + idle_s
        super().feed_data(data, size)

    def is_connected(self) -> bool:
        """Return whether the connection can be used. aiohttp asks this before it uses a kept one."""
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
