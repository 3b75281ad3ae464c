"""Events as the tests post them, and what is then on the stream."""

from __future__ import annotations

from typing import Any

import httpx
import redis

from tests.support import STREAM, cloud_event
from tests.web.conftest import Console, signed

ONE, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
CE = {"ce-specversion": "1.0", "ce-id": "7", "ce-source": "wms", "ce-type": "group.complete"}
EVENT = cloud_event("sg_1", "7").encode()


def send(console: Console, content: Any, headers: dict[str, str] | None = None, token: str = "") -> httpx.Response:
    """Post bytes, by default as a structured event."""
    given = {"content-type": ONE} if headers is None else headers
    return console.client.post("/v1/events", content=content, headers=signed(token) | given)


def on_stream(store: redis.Redis) -> list[dict[bytes, bytes]]:
    """The entries of the stream."""
    entries: Any = store.xrange(STREAM)
    return [fields for _, fields in entries]
