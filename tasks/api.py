"""Async client of the Sorted API: close, lock, and ask for the state of, one shipment group.

A call never raises for what the network or the API does: it returns a `Reply` or a `NoReply`.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import SecretStr

from tasks.egress import certificates, proxy_of
from tasks.event import is_reference
from tasks.reply import Failure, NoReply, Reply, parse_body, parse_retry_after
from tasks.transport import session

MAX_REPLY_BYTES = 2 * 1024 * 1024  # the state of a trailer with tens of thousands of shipments fits
_CONNECT_S = 5.0

# What the transport raises, and what it means; the first row that fits counts.
_FAILURES: tuple[tuple[type[BaseException], Failure], ...] = (
    (TimeoutError, Failure.TIMEOUT),
    (httpx.ReadTimeout, Failure.TIMEOUT),
    (aiohttp.ClientConnectorError, Failure.CONNECT),
    (aiohttp.ClientConnectionError, Failure.CUT),
    (aiohttp.ClientPayloadError, Failure.CUT),
    (aiohttp.ClientHttpProxyError, Failure.CONNECT),  # the proxy opens no way to the API
    (aiohttp.ClientError, Failure.PROTOCOL),
    (httpx.DecodingError, Failure.PROTOCOL),
    (httpx.HTTPError, Failure.CUT),
    (OSError, Failure.CUT),
    (aiohttp.http_exceptions.HttpProcessingError, Failure.PROTOCOL),
    (ValueError, Failure.PROTOCOL),
)


class SortedApi:
    """One connection pool to the API. Its key appears in requests only: in no repr, log or error."""

    def __init__(
        self,
        *,
        base_url: str,
        key: SecretStr,
        version: str,
        timeout_s: float,
        connections: int,
        agent: str = "closer",
    ) -> None:
        """`timeout_s`: total time of one call, from connecting to the last byte. Raises ConfigurationError."""
        self._base = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._connections = connections
        # Of each request, never of the session: what a session sends by default goes to a proxy, too, in the clear.
        self._headers = httpx.Headers(
            {
                "Host": urlsplit(base_url).netloc.rpartition("@")[2],
                "x-api-key": key.get_secret_value(),
                "x-api-version": version,
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": agent,
            }
        )
        self._certificates = certificates()
        self._transport = AiohttpTransport(client=self._session, proxy=proxy_of(base_url))

    def __repr__(self) -> str:
        return f"SortedApi({self._base})"

    async def close(self, reference: str, timeout_s: float | None = None) -> Reply | NoReply:
        """`POST /shipment_groups/{reference}/close`: irreversible."""
        return await self._call("POST", reference, "/close", timeout_s)

    async def lock(self, reference: str, timeout_s: float | None = None) -> Reply | NoReply:
        """`POST /shipment_groups/{reference}/lock`."""
        return await self._call("POST", reference, "/lock", timeout_s)

    async def state(self, reference: str, timeout_s: float | None = None) -> Reply | NoReply:
        """`GET /shipment_groups/{reference}`."""
        return await self._call("GET", reference, "", timeout_s)

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def _call(self, method: str, reference: str, action: str, timeout_s: float | None) -> Reply | NoReply:
        if not is_reference(reference):
            raise ValueError("not a reference: it would leave the API's path")
        timeout_s = min(timeout_s or self._timeout_s, self._timeout_s)
        request = httpx.Request(
            method,
            f"{self._base}/shipment_groups/{reference}{action}",
            headers=self._headers,
            extensions={"timeout": {"connect": min(_CONNECT_S, timeout_s), "read": timeout_s, "pool": timeout_s}},
        )
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request)
        except Exception as error:
            return _no_reply(error)

    async def _exchange(self, request: httpx.Request) -> Reply | NoReply:
        # The transport itself rather than a client: no redirects, cookies or logging of each request to switch off,
        # and a third less CPU a call.
        response = await self._send(request)
        wait_s = _wait_s(response.headers)
        try:
            content = bytearray()
            async for chunk in response.aiter_bytes():
                content += chunk
                if len(content) > MAX_REPLY_BYTES:
                    return NoReply(Failure.TOO_LARGE, f"HTTP {response.status_code}", wait_s)
        except Exception as error:  # what the headers told counts, whatever became of the body
            return replace(_no_reply(error), retry_after_s=wait_s)
        finally:
            await response.aclose()
        return Reply(response.status_code, parse_body(bytes(content)) if content else None, wait_s)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            if not isinstance(error.__cause__, aiohttp.ClientConnectionResetError):
                raise
        # The connection ended before one byte of the request was written: nobody has heard of it.
        return await self._transport.handle_async_request(request)

    def _session(self) -> aiohttp.ClientSession:
        return session(self._connections, self._certificates)


def _wait_s(headers: httpx.Headers) -> float | None:
    retry_after = headers.get("retry-after")
    return parse_retry_after(retry_after, headers.get("date"), datetime.now(UTC)) if retry_after else None


def _no_reply(error: Exception) -> NoReply:
    """Translate what the transport raised; an error that is not the network's or the API's is raised again."""
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) and error.__cause__ else error
    for known in (cause, error):  # the cause tells more, unless it is no error of the network's (zlib.error)
        for kind, failure in _FAILURES:
            if isinstance(known, kind):
                return NoReply(failure, f"{type(known).__name__}: {known}"[:200])
    raise error
