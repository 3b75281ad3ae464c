"""Fuzz tests of messages: whatever is on the queue or the control channel, kombu and Celery get what they survive."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from kombu.message import Message as KombuMessage
from kombu.transport.virtual import Message
from kombu.utils.json import loads

from tasks.envelope import Envelope, Unreadable, from_redis
from tasks.events.event import is_reference
from tasks.task_message import TASK_NAME, TaskMessage, asides, read
from tests.end_to_end.fleet import SETTINGS, own_store
from tests.end_to_end.hostile import CONTROL, QUEUE, Fleet
from tests.fuzz.messages import control_bodies, envelopes, task_bodies
from tests.support import Process
from worker.broker import remote_control
from worker.broker.redis_transport import control_item, queue_item
from worker.simulator.server import Simulator, run_in_thread

NOW = datetime(2026, 11, 25, tzinfo=UTC)
CHANNEL: Any = SimpleNamespace(decode_body=lambda body, encoding: base64.b64decode(body))
# Hypothesis takes ten times as long to make a message as an event.
MESSAGES = settings(max_examples=min(settings.default.max_examples, 10_000) if settings.default else 100)
WORKER, REPLIES = "closer-1@host", "reply.celery.pidbox"


def received(item: bytes) -> Any:
    """What kombu makes of an item, and Celery of its body."""
    message = Message(loads(item.decode()), channel=CHANNEL)
    message.accept = None
    body: Any = message.body
    return message, loads(body)


@MESSAGES
@given(envelopes())
@example(b"[" * 100_000)
@example(b'{"body": "' + b"[" * 100_000 + b'"}')
@example(b'{"__type__": "uuid", "__value__": 5}')
@example(b"")
def test_queue_items(raw: bytes) -> None:
    """Whatever stands in the queue, kombu gets an item of ours, with a tag of its own and no header of the sender's."""
    message, (args, kwargs, embed) = received(queue_item(raw, QUEUE))
    assert message.headers.keys() == {"lang", "task", "id", "root_id", "argsrepr", "kwargsrepr"}
    assert message.headers["task"] == TASK_NAME
    assert isinstance(message.headers["id"], str)
    assert message.delivery_tag not in raw.decode("utf-8", "replace")
    assert message.delivery_info == {"exchange": "", "routing_key": QUEUE}
    assert (kwargs, embed) == ({}, {})
    references, *kept = args
    assert all(is_reference(one) for one in references)
    assert references or kept or b"[]" in base64.b64decode(json.loads(queue_item(raw, QUEUE))["body"])
    assert not kept or asides(kept[0]) is not None


@MESSAGES
@given(envelopes())
def test_an_item_made_anew_stays_the_same(raw: bytes) -> None:
    """What goes back to the queue and is read again names the same groups, and keeps the same bytes."""
    first = queue_item(raw, QUEUE)
    again = queue_item(first, QUEUE)
    assert received(again)[1] == received(first)[1]
    assert received(again)[0].headers == received(first)[0].headers


@MESSAGES
@given(task_bodies())
def test_nothing_is_destroyed(body: bytes) -> None:
    """Of a message that names a group, the group is received, or its name is in what is kept."""
    message = read(Envelope(body, {"task": TASK_NAME, "id": "t"}), NOW)
    assert isinstance(message, TaskMessage)
    given_references = _named(body)
    kept = b" ".join(one.body for one in message.aside)
    for reference in given_references:
        assert reference in message.references or reference.encode() in kept, (reference, message)


def _named(body: bytes) -> list[str]:
    """The groups that a message with exactly one argument names, read in another way than closer's."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return []
    if not isinstance(document, list) or not document or not isinstance(document[0], list) or len(document[0]) != 1:
        return []
    found = document[0][0] if isinstance(document[0][0], list) else [document[0][0]]
    return [one for one in found if is_reference(one)]


@MESSAGES
@given(control_bodies())
@example(b"[" * 100_000)
@example(b"9" * 5_000)
@example(b'{"method": "ping", "reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "x"}, "ticket": "t"}')
def test_control_messages(body: bytes) -> None:
    """Nothing but ping and stats is a question, and an answer goes nowhere but to Celery's own answers."""
    try:
        question = remote_control.read(body, WORKER, REPLIES)
    except Unreadable:
        return
    if question is not None:
        assert question.method in ("ping", "stats")
        assert question.routing_key.isprintable()
        asked = json.loads(body)
        assert not question.routing_key or asked["reply_to"]["exchange"] == REPLIES
        assert not asked.get("destination") or WORKER in asked["destination"]


@MESSAGES
@given(envelopes() | control_bodies())
@example(b"[" * 100_000)
@example(b'{"body": 5, "properties": []}')
def test_control_items(raw: bytes) -> None:
    """Whatever is published, kombu gets an item that it can read, or nothing."""
    item = control_item(raw)
    if item:
        message = Message(loads(item.decode()), channel=CHANNEL)
        assert isinstance(message, KombuMessage)
        assert (message.headers, message.delivery_info) == ({}, {"exchange": "", "routing_key": ""})
        assert (message.body or b"") == from_redis(raw).body


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running worker."""
    with (
        own_store(tmp_path_factory.mktemp("store")) as (url, store),
        run_in_thread(Simulator()) as (api, _),
        Process(tmp_path_factory.mktemp("log"), "worker", redis_url=url, api_base_url=api, **SETTINGS) as worker,
    ):
        fleet = Fleet(url, store, worker)
        fleet.still_works()
        yield fleet
        assert worker.stop() == 0, worker.output


WHOLE = settings(max_examples=300, suppress_health_check=list(HealthCheck))


@WHOLE
@given(raw=envelopes(), asked=control_bodies())
def _sent(fleet: Fleet, raw: bytes, asked: bytes) -> None:
    fleet.store.lpush(QUEUE, raw)
    fleet.store.publish(CONTROL, raw)
    fleet.store.publish(CONTROL, json.dumps({"body": asked.decode(), "properties": {}, "headers": {}}))


def test_a_worker_outlives_all_of_it(fleet: Fleet, tmp_path: Path) -> None:
    """Hundreds of hostile messages on queue and control channel: the worker goes on, connected, and holds none back."""
    _sent(fleet)
    fleet.still_works()
    fleet.holds_nothing_back()
    assert "Connection to broker lost" not in fleet.worker.output
    assert "Traceback" not in fleet.worker.output
