"""Sends alerts to a webhook, signed as Standard Webhooks (github.com/standard-webhooks/standard-webhooks)."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from worker.settings import Settings
from worker.settings.alerts import signing_key

WAIT_S = 10.0  # all that one try may take
# ImportError: HTTP_PROXY or another variable names a SOCKS proxy, for which httpx needs another package.
_FAULTS = (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, ImportError)


@dataclass(frozen=True, slots=True)
class Message:
    """What is sent. `message_id`: the same each time that it is sent again, so the receiver can tell. `body`: JSON."""

    message_id: str
    body: Mapping[str, Any]


class Webhook:
    """One receiver. It is believed nothing but its status: no redirect is followed, and no body is read."""

    def __init__(self, url: str, key: bytes | None, clock: Callable[[], float] = time.time) -> None:
        """`key`: signs the messages; None leaves them unsigned. `clock`: seconds since the epoch, for the signature."""
        self._url = url
        self._key = key
        self._clock = clock
        self._client: httpx.AsyncClient | None = None  # made at the first message, because a wrong proxy raises then

    @classmethod
    def of(cls, settings: Settings) -> Webhook | None:
        """Return the webhook of these settings, None if there is none."""
        if settings.alert_webhook_url is None:
            return None
        secret = settings.alert_webhook_secret
        return cls(settings.alert_webhook_url.get_secret_value(), signing_key(secret) if secret else None)

    @property
    def host(self) -> str:
        """Where it is. The rest of the address may be a secret."""
        return urlsplit(self._url).hostname or "?"

    async def send(self, message: Message) -> str | None:
        """Send a message once, within `WAIT_S` seconds. Return why it was not taken; None when it was (2xx)."""
        body = json.dumps(message.body).encode()
        try:
            async with asyncio.timeout(WAIT_S):
                return await self._post(body, self._headers(message.message_id, body))
        except TimeoutError:
            return f"{self.host} did not answer within {WAIT_S:.0f} s"
        except _FAULTS as error:  # their texts may hold the address
            return f"{self.host} cannot be reached ({type(error).__name__})"

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()

    async def _post(self, body: bytes, headers: dict[str, str]) -> str | None:
        self._client = self._client or httpx.AsyncClient(timeout=WAIT_S, follow_redirects=False)
        async with self._client.stream("POST", self._url, content=body, headers=headers) as reply:
            return None if reply.is_success else f"{self.host} answers with {reply.status_code}"

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        timestamp = str(int(self._clock()))
        headers = {"content-type": "application/json", "webhook-id": message_id, "webhook-timestamp": timestamp}
        if self._key is not None:
            signed = b".".join((message_id.encode(), timestamp.encode(), body))
            digest = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
            headers["webhook-signature"] = f"v1,{digest}"
        return headers
