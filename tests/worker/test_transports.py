"""Tests of our transports: each address that settings allow has one, and junk in a queue comes out as a message."""

from __future__ import annotations

import json
from typing import Any

import pytest
import redis
from kombu import Consumer, Queue

from tasks.task_message import TASK_NAME
from worker.broker import amqp_transport, redis_transport
from worker.broker.celery_variables import refused
from worker.broker.transports import TolerantConnection


@pytest.mark.parametrize(
    ("url", "transport"),
    [
        ("redis://h:1/0", redis_transport.Transport),
        ("rediss://h:1/0", redis_transport.Transport),
        ("redis+socket:///s.sock", redis_transport.Transport),
        ("amqp://u:p@h//", amqp_transport.Transport),
        ("amqps://u:p@h/v", amqp_transport.SSLTransport),
    ],
)
def test_every_broker_has_a_transport_of_ours(url: str, transport: type) -> None:
    """This holds also when the connection is cloned, as Celery does it."""
    assert TolerantConnection(url).get_transport_cls() is transport
    assert TolerantConnection(url).clone().get_transport_cls() is transport


@pytest.mark.parametrize("prefix", ["", "{x}:"])
def test_junk_becomes_a_message(store: redis.Redis, store_url: str, prefix: str) -> None:
    """This holds with a prefix for all keys and without one."""
    store.lpush(f"{prefix}celery", b"\xff junk")
    came: list[Any] = []
    with TolerantConnection(store_url, transport_options={"global_keyprefix": prefix}) as connection:
        with Consumer(connection.channel(), [Queue("celery")], on_message=came.append, accept=["json"]):
            connection.drain_events(timeout=10)
        [message] = came
        message.ack()
    assert message.headers["task"] == TASK_NAME
    (references, [[kept, problem]]), _, _ = json.loads(message.body)
    assert references == []
    assert kept.encode("utf-8", "surrogateescape") == b"\xff junk"
    assert "not JSON" in problem
    assert not store.exists(f"{prefix}unacked")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"queues": ["elsewhere"]}, "--queues"),
        ({"exclude_queues": ["celery"]}, "--exclude-queues"),
        ({"pool": object}, "--pool"),
        ({"purge": True}, "--purge"),
        ({"include": ["json"]}, "--include"),
        ({"autoscale": (9, 1)}, "--autoscale"),
        ({"beat": True}, "--beat"),
        ({"statedb": "revoked"}, "--statedb"),
        ({"prefetch_multiplier": 99}, "--prefetch-multiplier"),
    ],
)
def test_options_that_make_another_worker(options: dict[str, Any], words: str) -> None:
    """Each is refused by its name; what only names or places the worker is not."""
    ours = {"worker_prefetch_multiplier": 1}
    [problem] = refused({"hostname": "x", "pool": "threads"} | options, ours, ours)
    assert problem.startswith(f"{words}: ")


def test_options_that_change_nothing() -> None:
    """A worker that is started as the README says may start; one whose configuration was changed may not."""
    ours = {"worker_prefetch_multiplier": 1, "broker_url": "redis://a"}
    assert refused({"hostname": "x", "loglevel": "INFO", "without_gossip": True, "queues": None}, ours, ours) == []
    assert refused({}, ours | {"broker_url": "redis://b"}, ours) == ["broker_url: closer sets it itself"]
