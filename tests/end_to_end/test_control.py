"""Celery's remote control of a running worker: it answers ping and stats, and obeys nobody."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from celery import Celery
from celery.app.control import Inspect

from tests.end_to_end.hostile import CONTROL, QUEUE, Fleet, changed, message, nested, without
from tests.support import key_of, until


def published(asked: Any, **envelope: Any) -> str:
    """A message as it stands on the control channel."""
    whole = json.loads(message(asked if isinstance(asked, bytes) else json.dumps(asked).encode()))
    return json.dumps(whole | envelope)


@pytest.fixture
def inspect(fleet: Fleet) -> Iterator[Inspect]:
    """Celery's own client of remote control, as a program has it that sets the fleet's prefix."""
    with Celery("stranger", broker=fleet.url, set_as_current=False) as stranger:
        stranger.conf.broker_transport_options = {"socket_timeout": 10, "global_keyprefix": key_of("")}
        yield stranger.control.inspect(timeout=5, limit=1)


def test_ping_and_stats_are_answered(fleet: Fleet, inspect: Inspect) -> None:
    """Celery's client gets its answer; of the broker it is told the kind, not the address."""
    (pong,) = until(inspect.ping, "an answer").values()
    assert pong == {"ok": "pong"}
    (stats,) = (inspect.stats() or {}).values()
    assert stats["pid"] == fleet.worker.process.pid
    assert stats["broker"] == {"transport": "redis"}
    assert fleet.url.partition("//")[2].partition("/")[0] not in json.dumps(stats)


COMMANDS: dict[str, dict[str, Any]] = {
    "shutdown": {},
    "pool_shrink": {"n": 4},
    "pool_grow": {"n": 400},
    "pool_restart": {},
    "autoscale": {"max": 1, "min": 1},
    "rate_limit": {"task_name": "tasks.close_groups", "rate_limit": "1/h"},
    "time_limit": {"task_name": "tasks.close_groups", "hard": 1, "soft": 1},
    "cancel_consumer": {"queue": QUEUE},
    "add_consumer": {"queue": "foreign"},
    "revoke": {"task_id": ["sg_revoked"], "terminate": True, "signal": "SIGKILL"},
    "revoke_by_stamped_headers": {"headers": {"a": "b"}},
    "terminate": {"task_id": "x", "signal": "SIGKILL"},
    "enable_events": {},
    "disable_events": {},
    "election": {"id": 1, "topic": "x", "action": "y"},
    "hello": {"from_node": "x", "revoked": {"sg_revoked": 1}},
    "report": {},
    "conf": {},
    "registered": {},
    "active": {},
    "reserved": {},
    "scheduled": {},
    "query_task": {"ids": ["x"]},
    "memsample": {},
    "memdump": {},
    "objgraph": {"num": 1_000_000, "max_depth": 99},
    "no such command": {},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_else_is_obeyed(fleet: Fleet, inspect: Inspect, command: str) -> None:
    """Whatever another command would do to a worker, it does not; a task with a revoked id is closed all the same."""
    asked = {"method": command, "arguments": COMMANDS[command], "destination": None}
    fleet.store.publish(CONTROL, published(asked))
    fleet.store.publish(CONTROL, published(asked | {"reply_to": {"exchange": "x", "routing_key": "y"}, "ticket": "z"}))
    until(inspect.ping, "an answer after it")
    reference = f"sg_{uuid4().hex}"
    fleet.store.lpush(QUEUE, message(json.dumps([[[reference]], {}, {}]).encode(), task_id="sg_revoked"))
    fleet.closes(reference)
    fleet.still_works()
    fleet.holds_nothing_back()


PING: dict[str, Any] = {"method": "ping", "arguments": {}, "destination": None}
ODD: dict[str, str | bytes] = {
    "nothing": b"",
    "not text": b"\xff\x00",
    "not JSON": "{",
    "a list": "[1]",
    "a number": "5",
    "null": "null",
    "no body": "{}",
    "no headers": without("headers", json.dumps(PING).encode()),
    "no properties": without("properties", json.dumps(PING).encode()),
    "odd properties": published(PING, properties=[5]),
    "odd headers": published(PING, headers="x"),
    "a clock beyond all clocks": published(PING, headers={"clock": 10**400}),
    "a clock that is none": published(PING, headers={"clock": ["x"]}),
    "not base64": published(PING, body="%%%"),
    "body is a number": published(PING, body=5),
    "body is an object": published(PING, body=PING),
    "asks with a list": published([PING]),
    "asks with a string": published("ping"),
    "asks for nothing": published({}),
    "no method": published({"arguments": {}}),
    "method is a list": published({"method": ["ping"]}),
    "method is an object": published({"method": {"ping": 1}}),
    "odd arguments": published(PING | {"arguments": [1]}),
    "more than it knows": published(PING | {"exec": "x", "self": 1, "kwargs": {}}),
    "odd destination": published(PING | {"destination": 5}),
    "odd pattern": published(PING | {"pattern": "(a+)+$", "matcher": "pcre"}),
    "reply to a string": published(PING | {"reply_to": "x", "ticket": "y"}),
    "reply to a list": published(PING | {"reply_to": [1], "ticket": "y"}),
    "reply to nobody": published(PING | {"reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "nobody"},
                                         "ticket": "y"}),
    "reply to our queue": published(PING | {"reply_to": {"exchange": "celery", "routing_key": QUEUE}, "ticket": "y"}),
    "reply to an odd key": published(PING | {"reply_to": {"exchange": "reply.celery.pidbox", "routing_key": [1]}}),
    "odd ticket": published(PING | {"reply_to": {"exchange": "reply.celery.pidbox", "routing_key": "x"}, "ticket": {}}),
    "nested envelope": nested(100_000),
    "nested body": published(nested(100_000)),
    "nested just so": published(nested(900)),
    "a huge number": published(b"9" * 5000),
    "odd types": published({"__type__": "uuid", "__value__": {"x": 1}}),
    "pickle": published(b"cos\nsystem\n(S'false'\ntR.", **{"content-type": "application/x-python-serialize"}),
    "a bomb": changed("headers", zlib.compress(b" " * 100_000_000), compression="application/x-gzip"),
    "too much": b"x" * 1_000_000,
    "tag of another": published(PING, properties={"delivery_tag": "x", "body_encoding": "base64", "delivery_info": {}},
                                body=base64.b64encode(b"junk").decode()),
}  # fmt: skip


@pytest.mark.parametrize("kind", ODD)
def test_odd_control_messages(fleet: Fleet, inspect: Inspect, kind: str) -> None:
    """Whatever is published on the control channel stops nothing, and does not make a worker connect again."""
    before = fleet.worker.output.count("Connection to broker lost")
    for _ in range(5):
        fleet.store.publish(CONTROL, ODD[kind])
    until(inspect.ping, "an answer after them")
    fleet.still_works()
    assert fleet.worker.output.count("Connection to broker lost") == before
    assert not fleet.store.llen(QUEUE)


def test_it_is_said_and_not_each_time(fleet: Fleet, inspect: Inspect) -> None:
    """A flood of odd messages is logged, but not line by line."""
    for payload in ODD.values():
        fleet.store.publish(CONTROL, payload)
    until(inspect.ping, "an answer after them")
    lines = fleet.worker.output.count("on Celery's control channel was ignored")
    assert 1 <= lines < len(ODD)
    assert "closer answers ping and stats only" in fleet.worker.output
