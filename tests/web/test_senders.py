"""Programs that send: the SDK of CloudEvents in every mode, many at once, and a console that is killed meanwhile."""

from __future__ import annotations

import json
import signal
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent
from redis.asyncio import Redis

from tests.support import STREAM, cloud_event, until
from tests.web.conftest import Console, give, signed
from tests.web.taking import take_in

SENDERS = 8


def event(reference: str) -> CloudEvent:
    """An event as a program makes it with the SDK."""
    attributes = {
        "id": reference, "source": "/leeds/wms", "type": "com.acme.group.complete", "specversion": "1.0",
        "subject": 'a "cage" in Größe 5',
    }  # fmt: skip
    return CloudEvent(attributes=attributes, data={"reference": reference})


def batch(events: list[CloudEvent]) -> HTTPMessage:
    """A batch, which the SDK does not make itself: an array of structured events."""
    array = "[" + ",".join(_text(to_structured_event(one).body) for one in events) + "]"
    return HTTPMessage(headers={"content-type": "application/cloudevents-batch+json"}, body=array.encode())


def _text(body: bytes | str) -> str:
    return body.decode() if isinstance(body, bytes) else body


@pytest.mark.parametrize("mode", ["structured", "binary", "batch"])
async def test_the_sdk_of_cloudevents(console: Console, real: Redis, mode: str) -> None:
    """Its requests are taken as they are."""
    one = event("sg_1")
    message = {"structured": to_structured_event, "binary": to_binary_event, "batch": lambda one: batch([one])}[mode](
        one
    )
    answer = console.client.post("/v1/events", content=message.body, headers=message.headers)
    assert (answer.status_code, answer.json()["ids"]) == (202, ["sg_1"])
    [closure], _ = await take_in(real)
    assert (closure.reference, closure.source) == ("sg_1", "/leeds/wms")


class Sender(threading.Thread):
    """Sends one event after another until it gets no answer; keeps the ids of those that were answered with 202."""

    def __init__(self, console: Console, token: str, number: int) -> None:
        super().__init__(daemon=True)
        self._console = console
        self._token = token
        self._number = number
        self.taken: list[str] = []

    def run(self) -> None:
        """Send."""
        with httpx.Client(base_url=self._console.url, trust_env=False, timeout=10) as client:
            while True:
                reference = f"sg_{self._number}_{len(self.taken)}"
                headers = signed(self._token) | {"content-type": "application/cloudevents+json"}
                try:
                    answer = client.post("/v1/events", content=cloud_event(reference, reference), headers=headers)
                except httpx.TransportError:
                    return
                assert answer.status_code == 202
                self.taken += answer.json()["ids"]


def on_stream(store: redis.Redis) -> set[str]:
    """The ids of the events that the store has."""
    entries: Any = store.xrange(STREAM)
    return {json.loads(fields[b"event"])["id"] for _, fields in entries}


def test_what_was_answered_is_there_after_kill_9(store_url: str, store: redis.Redis, tmp_path: Path) -> None:
    """Senders are at work when the console is killed; the store has each event that was answered with 202."""
    token = give(store, "leeds", "emitter")
    with Console(tmp_path, store_url, http_rate_limit=0) as console:
        senders = [Sender(console, token, number) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        until(lambda: all(len(sender.taken) > 30 for sender in senders), "the middle of the work")
        console.process.process.send_signal(signal.SIGKILL)
        for sender in senders:
            sender.join(30)
    assert {one for sender in senders for one in sender.taken} <= on_stream(store)


def test_a_stop_answers_who_has_asked(store_url: str, store: redis.Redis, tmp_path: Path) -> None:
    """SIGTERM in the middle of the work: it ends as a success, and what was answered is there."""
    token = give(store, "leeds", "emitter")
    with Console(tmp_path, store_url, http_rate_limit=0) as console:
        senders = [Sender(console, token, number) for number in range(SENDERS)]
        for sender in senders:
            sender.start()
        until(lambda: all(len(sender.taken) > 10 for sender in senders), "the middle of the work")
        assert console.process.stop() == 0
        for sender in senders:
            sender.join(30)
    assert {one for sender in senders for one in sender.taken} <= on_stream(store)
