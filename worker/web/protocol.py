"""The HTTP protocol of the console: uvicorn's, and a time limit on what comes between two requests.

uvicorn waits for ever for the rest of a request's headers, and for the rest of a body that nobody reads.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

HEADERS_S = 10.0


class PatientProtocol(H11Protocol):
    """Closes a connection on which a request has begun, but its headers are not complete after ten seconds."""

    _limit: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._begin()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends. The time runs while no request is being answered."""
        super().data_received(data)
        if getattr(self.cycle, "response_complete", True) is False:  # before the first request there is no cycle
            self._end()
        elif self._limit is None:
            self._begin()

    def on_response_complete(self) -> None:
        """Wait for the next request. The time runs at once when a part of it, or a rest of the last one, is to come."""
        super().on_response_complete()
        if self.conn.their_state is h11.SEND_BODY or (self.cycle.response_complete and self.conn.trailing_data[0]):
            self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        self._end()
        super().connection_lost(exc)

    def _begin(self) -> None:
        self._end()
        self._limit = self.loop.call_later(HEADERS_S, self.transport.close)

    def _end(self) -> None:
        if self._limit is not None:
            self._limit.cancel()
            self._limit = None
