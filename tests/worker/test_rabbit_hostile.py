"""Hostile messages over a real RabbitMQ: headers, bodies and control messages of any kind stop no worker."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import amqp
import pytest
from celery import Celery
from kombu import Connection

from tasks.namespace import DEFAULT_NAMESPACE
from tests.end_to_end.fleet import SETTINGS, own_store
from tests.end_to_end.hostile import Fleet, nested
from tests.support import Process, key_of, until
from tests.worker.rabbit import program, rabbit
from worker.simulator.server import Simulator, run_in_thread

TASK = {"task": "tasks.close_groups", "id": "t", "lang": "py"}

pytestmark = pytest.mark.long  # the same over Redis is not: tests/end_to_end/test_hostile.py


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a real RabbitMQ."""
    if program() is None:
        pytest.skip("rabbitmq-server is not installed here")
    with rabbit(tmp_path_factory.mktemp("rabbit")) as running:
        yield running.url


@pytest.fixture(scope="module")
def fleet(node: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """A running worker whose broker it is."""
    with (
        own_store(tmp_path_factory.mktemp("store")) as (url, store),
        run_in_thread(Simulator()) as (api, _),
        Process(
            tmp_path_factory.mktemp("log"), "worker", redis_url=url, broker_url=node, api_base_url=api, **SETTINGS
        ) as worker,
    ):
        until(lambda: "ready" in worker.output, "a worker")
        yield Fleet(node, store, worker)
        assert worker.stop() == 0, worker.output


@pytest.fixture
def channel(fleet: Fleet) -> Iterator[Any]:
    """A channel of a foreign program."""
    with Connection(fleet.url) as connection:
        yield connection.channel()


def send(
    channel: Any,
    body: bytes,
    headers: dict[str, Any],
    key: str = DEFAULT_NAMESPACE.queue,
    exchange: str = "",
    **told: Any,
) -> None:
    """Publish five messages, more than a worker has slots."""
    given = {"content_type": "application/json", "content_encoding": "utf-8"} | told
    for _ in range(5):
        message = amqp.Message(body, application_headers=headers, **given)
        channel.basic_publish(message, exchange=exchange, routing_key=key)


def waiting(url: str) -> tuple[int, int]:
    """How many messages are ready in the queue, and how many are dead letters."""
    with Connection(url) as connection:
        channel: Any = connection.channel()
        told = [
            channel.queue_declare(name, passive=True)
            for name in (DEFAULT_NAMESPACE.queue, DEFAULT_NAMESPACE.dead_letters)
        ]
    return told[0].message_count, told[1].message_count


def deep(depth: int) -> dict[str, Any]:
    """Tables in tables."""
    table: dict[str, Any] = {}
    for _ in range(depth):
        table = {"a": table}
    return table


NAMES: dict[str, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "embed is a string": ("x", {}, {}),
    "numeric id": ({}, {"id": 5}, {}),
    "id is a table": ({}, {"id": {"x": 1}}, {}),
    "expired": ({}, {"expires": "2020-01-01T00:00:00"}, {}),
    "odd limits": ({}, {"timelimit": "x", "retries": "y", "stamped_headers": 5}, {}),
    "no content type": ({}, {}, {"content_type": ""}),
    "odd encoding": ({}, {}, {"content_encoding": "no-such-codec"}),
    "nested tables": ({}, {"x": deep(100)}, {}),
}


@pytest.mark.parametrize("kind", NAMES)
def test_what_names_groups_is_received(fleet: Fleet, channel: Any, kind: str) -> None:
    """Whatever else is in a message, its group is closed, and no slot is held."""
    embed, headers, told = NAMES[kind]
    reference = f"sg_{uuid4().hex}"
    send(channel, json.dumps([[[reference]], {}, embed]).encode(), TASK | headers, **told)
    fleet.closes(reference)
    fleet.still_works()
    until(lambda: waiting(fleet.url) == (0, 0), "an empty queue, and no dead letters")


KEPT: dict[str, tuple[bytes, dict[str, Any], dict[str, Any]]] = {
    "another task": (b'["MARK"]', TASK | {"task": "no.such.task"}, {}),
    "no headers": (b'["MARK"]', {}, {}),
    "an event": (b'{"reference": "MARK"}', {}, {}),
    "cut": (b'[["MARK"', TASK, {}),
    "not text": (b"\xff\x00MARK", TASK, {}),
    "pickle": (b"cos\nsystem\nMARK", TASK, {"content_type": "application/x-python-serialize"}),
    "later": (b'[["MARK"], {}, {}]', TASK | {"eta": "2999-01-01T00:00:00"}, {}),
    "callbacks": (b'[["MARK"], {}, {"callbacks": [{"task": "x", "options": {"queue": "foreign"}}]}]', TASK, {}),
    "nested body": (b'["MARK",' + nested(100_000) + b"]", TASK, {}),
    "nested just so": (b'[["MARK",' + nested(900) + b"]]", TASK, {}),
    "a bomb": (zlib.compress(b" " * 200_000_000), TASK | {"id": "MARK", "compression": "application/x-gzip"}, {}),
}


@pytest.mark.parametrize("kind", [kind for kind in KEPT if kind != "a bomb"])
def test_what_is_not_received_is_kept(fleet: Fleet, channel: Any, kind: str) -> None:
    """It is in closer's own rejected events, acknowledged, and it stops nothing."""
    body, headers, told = KEPT[kind]
    mark = f"sg_{uuid4().hex}"
    send(channel, body.replace(b"MARK", mark.encode()), headers, **told)
    fleet.keeps(mark)
    fleet.still_works()
    until(lambda: waiting(fleet.url) == (0, 0), "an empty queue, and no dead letters")


def test_a_bomb_is_not_unfolded(fleet: Fleet, channel: Any) -> None:
    """A small body that unfolds to 200 MB is kept as it is."""
    send(channel, *KEPT["a bomb"][:2])
    fleet.keeps("the limit is 16777216")
    fleet.still_works()


@pytest.mark.parametrize("depth", [400, 2_000])
def test_headers_of_any_depth(fleet: Fleet, channel: Any, depth: int) -> None:
    """Headers that py-amqp cannot read count as none; the message is kept, and the connection stands."""
    lost = fleet.worker.output.count("Connection to broker lost")
    mark = f"sg_{uuid4().hex}"
    send_raw(channel, f'[["{mark}"], {{}}, {{}}]'.encode(), depth)
    until(lambda: fleet.store.zscore(key_of("closed"), mark) or fleet.keeps(mark), "closed or kept")
    fleet.still_works()
    assert fleet.worker.output.count("Connection to broker lost") == lost
    until(lambda: waiting(fleet.url) == (0, 0), "an empty queue, and no dead letters")


def send_raw(channel: Any, body: bytes, depth: int) -> None:
    """Publish with headers nested so deep that py-amqp could not write them either."""
    inner = b""
    for _ in range(depth):
        inner = b"\x01aF" + len(inner).to_bytes(4, "big") + inner
    table = len(inner).to_bytes(4, "big") + inner
    message: Any = amqp.Message(body)
    message._serialize_properties = lambda: (0x2000).to_bytes(2, "big") + table
    channel.basic_publish(message, exchange="", routing_key=DEFAULT_NAMESPACE.queue)


CONTROL: dict[str, tuple[bytes, dict[str, Any]]] = {
    "shutdown": (b'{"method": "shutdown", "arguments": {}}', {}),
    "deaf": (b'{"method": "cancel_consumer", "arguments": {"queue": "celery"}}', {}),
    "nested": (nested(100_000), {}),
    "nested just so": (nested(900), {}),
    "not JSON": (b"{", {}),
    "a list": (b"[1]", {}),
    "a clock": (b'{"method": "ping"}', {"clock": "x"}),
    "odd reply": (b'{"method":"ping","reply_to":{"exchange":"amq.direct","routing_key":"x"},"ticket":"y"}', {}),
    "a bomb": (zlib.compress(b" " * 100_000_000), {"compression": "application/x-gzip"}),
}


@pytest.mark.parametrize("kind", CONTROL)
def test_the_control_channel(fleet: Fleet, channel: Any, kind: str) -> None:
    """Whatever is published there, the worker goes on, and answers a ping."""
    body, headers = CONTROL[kind]
    send(channel, body, headers, key="", exchange="celery.pidbox")
    with Celery("stranger", broker=fleet.url, set_as_current=False) as stranger:
        until(lambda: stranger.control.ping(timeout=5, limit=1), "an answer")
    fleet.still_works()
