"""The asynchronous client of the Sorted API. It closes, locks, or asks for the state of, one shipment group.

A call never raises for what the network or the API does. It returns a `Reply`, or a `NoReply` when nothing usable came.
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
    """One pool of connections to the API.

    Its key appears in requests only, in no repr, log or error. A call may be repeated by the client only if no byte of
    the first request was written, so no group is closed by a repeat.
    """

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
        """`timeout_s`: how long one call may take, from connecting to the last byte (s).

        `connections`: how many there may be at once. `version`: the value of the header `x-api-version`. `agent`: the
        value of the header `User-Agent`. Raises ConfigurationError when the proxy or the certificates that the
        environment names cannot be used.
        """
        self._base = base_url.rstrip("/")
        self._timeout_s = timeout_s
        self._connections = connections
        # Each request brings these headers. The session must not: it would send them to a proxy, too, and unencrypted.
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
        """`POST /shipment_groups/{reference}/close`. It cannot be undone.

        `timeout_s`: the time for this call, if it is shorter than the client's (s). Raises ValueError for what is not a
        reference. The same holds for `lock` and `state`.
        """
        return await self._call("POST", reference, "/close", timeout_s)

    async def lock(self, reference: str, timeout_s: float | None = None) -> Reply | NoReply:
        """`POST /shipment_groups/{reference}/lock`. Arguments, result and errors are those of `close`."""
        return await self._call("POST", reference, "/lock", timeout_s)

    async def state(self, reference: str, timeout_s: float | None = None) -> Reply | NoReply:
        """`GET /shipment_groups/{reference}`. It changes nothing. Arguments, result and errors are those of `close`."""
        return await self._call("GET", reference, "", timeout_s)

    async def aclose(self) -> None:
        """Close the connections, and stop watching the clock."""
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
        """Send the request and read the reply.

        `told` is filled as soon as the headers are here, with the status and the seconds to wait. Both count, whatever
        becomes of the body.
        """
        # The transport is used without httpx's client. So there are no redirects, cookies or log lines to switch off,
        # and a call takes a third less CPU.
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
        """Return the failure as one of our own if this process stood still while the call was in flight.

        A time-out or a cut connection then says nothing about the API.
        """
        if failed.failure is Failure.OWN:
            self._warn(failed.detail)
        if failed.failure not in (Failure.TIMEOUT, Failure.CUT, Failure.CONNECT):
            return failed
        if (stood_s := self._standstill.since(began_s)) == 0.0:
            return failed
        words = f"{failed.failure}; this process stood still for {stood_s:.1f} s: stopped, suspended or overloaded"
        return replace(failed, failure=Failure.OWN, detail=words)

    def _warn(self, problem: str) -> None:
        """Log a failure of our own, at most once a minute."""
        if (at_s := self._standstill.now_s()) - self._warned_s > _WARN_EVERY_S:
            self._warned_s = at_s
            _log.warning("calls to the API fail here, which does not count as an outage: %s", problem)

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._transport.handle_async_request(request)
        except httpx.TransportError as error:
            if not isinstance(error.__cause__, aiohttp.ClientConnectionResetError):
                raise
        # The connection ended before one byte of the request was written, so the API cannot have acted on it.
        return await self._transport.handle_async_request(request)

    def _session(self) -> aiohttp.ClientSession:
        self._standstill.watch()
        return session(self._connections, self._certificates)


def _wait_s(headers: httpx.Headers) -> float | None:
    retry_after = headers.get("retry-after")
    return parse_retry_after(retry_after, headers.get("date"), datetime.now(UTC)) if retry_after else None
