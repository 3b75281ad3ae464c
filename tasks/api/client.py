"""Async client of the Sorted API: close, lock, and ask for the state of, one shipment group.

A call never raises for what the network or the API does: it returns a `Reply` or a `NoReply`.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from datetime import UTC, datetime
from urllib.parse import urlsplit

import aiohttp
import httpx
from httpx_aiohttp import AiohttpTransport
from pydantic import SecretStr

from tasks.api import content
from tasks.api.egress import certificates, proxy_of
from tasks.api.failures import no_reply
from tasks.api.reply import Failure, NoReply, Reply, parse_body
from tasks.api.retry_after import parse_retry_after
from tasks.api.standstill import Standstill
from tasks.api.transport import session
from tasks.events.event import is_reference

_log = logging.getLogger("closer.api")
_CONNECT_S = 5.0
_WARN_EVERY_S = 60.0


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
        self._standstill = Standstill()
        self._warned_s = -_WARN_EVERY_S
        self._certificates = certificates()
        proxy = proxy_of(base_url)
        self._secrets = [key, *map(SecretStr, proxy.headers.values() if proxy else ())]
        self._transport = AiohttpTransport(verify=self._certificates, client=self._session, proxy=proxy)

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
        self._standstill.stop()
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
        told: list[tuple[int, float | None]] = []
        began_s = self._standstill.now_s()
        try:
            async with asyncio.timeout(timeout_s):
                return await self._exchange(request, told)
        except Exception as error:
            status, wait_s = told[0] if told else (None, None)
            failed = replace(no_reply(error, self._secrets, wait_s), status=status)
            return self._whose_fault(failed, began_s)

    async def _exchange(self, request: httpx.Request, told: list[tuple[int, float | None]]) -> Reply:
        """`told` is filled with the status, and for how long to wait (s): both count whatever becomes of the body."""
        # The transport itself rather than a client: no redirects, cookies or logging of each request to switch off,
        # and a third less CPU a call.
        response = await self._send(request)
        wait_s = _wait_s(response.headers)
        told.append((response.status_code, wait_s))
        try:
            assert isinstance(response.stream, httpx.AsyncByteStream)
            packed = await content.read(response.stream)
        finally:
            await response.aclose()
        body = content.unpack(packed, response.headers.get("content-encoding", ""))
        return Reply(response.status_code, parse_body(body) if body else None, wait_s)

    def _whose_fault(self, failed: NoReply, began_s: float) -> NoReply:
        """A call that was in flight while this process stood still ended for that, whatever it looks like."""
        if failed.failure is Failure.OWN:
            self._warn(failed.detail)
        if failed.failure not in (Failure.TIMEOUT, Failure.CUT, Failure.CONNECT):
            return failed
        if (stood_s := self._standstill.since(began_s)) == 0.0:
            return failed
        words = f"{failed.failure}; this process stood still for {stood_s:.1f} s: stopped, suspended or overloaded"
        return replace(failed, failure=Failure.OWN, detail=words)

    def _warn(self, problem: str) -> None:
        if (at_s := self._standstill.now_s()) - self._warned_s > _WARN_EVERY_S:
            self._warned_s = at_s
            _log.warning("calls to the API fail here, which does not count as an outage: %s", problem)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            if not isinstance(error.__cause__, aiohttp.ClientConnectionResetError):
                raise
        # The connection ended before one byte of the request was written: nobody has heard of it.
        return await self._transport.handle_async_request(request)

    def _session(self) -> aiohttp.ClientSession:
        self._standstill.watch()
        return session(self._connections, self._certificates)


def _wait_s(headers: httpx.Headers) -> float | None:
    retry_after = headers.get("retry-after")
    return parse_retry_after(retry_after, headers.get("date"), datetime.now(UTC)) if retry_after else None
