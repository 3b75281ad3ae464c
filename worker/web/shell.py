"""The outermost part of the app: it limits the time of a request, and adds the headers of security to each response."""

from __future__ import annotations

import asyncio
import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from worker.web.problems import Problem

_log = logging.getLogger("closer.console")
REQUEST_S = 30.0
_BODY_MOST = 2 * 1024 * 1024  # no route takes as much
# For whoever opens an answer of the API in a browser: nothing in it is run, framed or kept.
_HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
    "cross-origin-resource-policy": "same-origin",
}
_ONLY_TLS = {"strict-transport-security": "max-age=31536000"}


class Shell:
    """Wraps an app."""

    def __init__(self, app: ASGIApp, *, tls: bool) -> None:
        """`tls`: whether browsers reach the console by https, and must never come without it."""
        self._app = app
        given = _HEADERS | (_ONLY_TLS if tls else {})
        self._headers = [(name.encode(), value.encode()) for name, value in given.items()]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request. One that takes over 30 s is given up: its client reads nothing, or sends nothing."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                there = {name for name, _ in message["headers"]}
                message["headers"] += [one for one in self._headers if one[0] not in there]
            await send(message)

        size = 0

        async def receive_so_much() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            if size > _BODY_MOST:
                raise Problem("too-large", f"the body has more than {_BODY_MOST} bytes")
            return message

        try:
            async with asyncio.timeout(REQUEST_S):
                await self._app(scope, receive_so_much, send_with_headers)
        except TimeoutError:
            _log.warning("a request of %s was given up after %.0f s", scope.get("client"), REQUEST_S)
            raise
