"""Hostile input to a running worker: messages that are code or no messages, names that forge log lines."""

from __future__ import annotations

import base64
import json
import os
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import redis

from tasks.close import TASK_NAME
from tests.end_to_end.fleet import SETTINGS, own_store
from tests.support import STREAM, Process, cloud_event, publish, until
from worker.demo.simulator import Simulator, run_in_thread


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running worker and its store."""

    store: redis.Redis
    worker: Process

    def still_works(self, reference: str) -> None:
        """Returns when this group is closed; everything before it in the queue has been dealt with then."""
        publish(self.store, [reference])

        def closed() -> bool:
            assert self.worker.process.poll() is None, self.worker.output
            return self.store.zscore("closer:closed", reference) is not None

        until(closed, f"{reference} closed")


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One worker for all tests here."""
    with (
        own_store(tmp_path_factory.mktemp("store")) as (url, store),
        run_in_thread(Simulator()) as (base_url, _),
        Process(tmp_path_factory.mktemp("log"), "worker", redis_url=url, api_base_url=base_url, **SETTINGS) as worker,
    ):
        yield Fleet(store, worker)
        assert worker.stop() == 0, worker.output


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


def message(body: bytes, content_type: str, task: str = TASK_NAME, task_id: str | None = None) -> str:
    """A task message as it stands in the queue on Redis."""
    task_id = task_id or str(uuid4())
    return json.dumps(
        {
            "body": base64.b64encode(body).decode(),
            "content-encoding": "binary",
            "content-type": content_type,
            "headers": {
                "lang": "py",
                "task": task,
                "id": task_id,
                "root_id": task_id,
                "argsrepr": "x",
                "kwargsrepr": "",
            },
            "properties": {
                "correlation_id": task_id,
                "delivery_mode": 2,
                "delivery_info": {"exchange": "", "routing_key": "celery"},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/x-yaml", "application/data", "x/y"])
def test_only_json_is_read(fleet: Fleet, tmp_path: Path, kind: str) -> None:
    """A task message that is pickle, YAML or unknown content is refused unread: its code is not run, work goes on."""
    sprung = tmp_path / "sprung"
    code = f"!!python/object/apply:os.mkdir ['{sprung}']\n"
    body = pickle.dumps(((Bomb(sprung),), {}, {})) if kind.endswith("serialize") else code.encode()
    fleet.store.lpush("celery", message(body, kind))
    fleet.still_works(f"after-{kind.rpartition('/')[2]}")
    assert not sprung.exists()
    until(lambda: "Received invalid task message" in fleet.worker.output, "a word about it")


def changed(part: str, **more: Any) -> str:
    """A good message with something else in its headers or properties; None takes it away."""
    whole = json.loads(message(b"[[], {}, {}]", "application/json"))
    whole[part] = {name: value for name, value in {**whole[part], **more}.items() if value is not None}
    return json.dumps(whole)


ODD = {
    "cut": message(b"not json", "application/json"),
    "number": message(b"5", "application/json"),
    "null": message(b"null", "application/json"),
    "short": message(b"[1, 2]", "application/json"),
    "foreign task": message(b"[[], {}, {}]", "application/json", task="os.system"),
    "task is a list": changed("headers", task=["x"]),
    "no id": changed("headers", id=None),
    "odd eta": changed("headers", eta="yesterday"),
    "odd limits": changed("headers", timelimit="x"),
    "no tag": changed("properties", delivery_tag=None),
    "no info": changed("properties", delivery_info=None),
    "not base64": message(b"", "application/json").replace('"body": ""', '"body": "%%%"'),
    "no properties": '{"body": "x"}',
    "a list": "[1]",
    "a number": "5",
    "no JSON": "{",
    "no text": b"\xff\x00",
}


@pytest.mark.parametrize("raw", ODD.values(), ids=ODD)
def test_odd_messages(fleet: Fleet, raw: str | bytes) -> None:
    """What is no task message as Celery makes them stops nothing, whatever it is."""
    fleet.store.lpush("celery", raw)
    fleet.still_works(f"odd-{uuid4().hex}")
    assert "Unrecoverable" not in fleet.worker.output


def test_no_line_is_forged(fleet: Fleet) -> None:
    """Whatever references, ids and sources hold, they begin no line of the log, and no terminal obeys them."""
    forged = "x\n2026-01-01T00:00:00.000Z INFO attempt closure.attempted reference=sg_forged\x1b[2J\u2028y\r"
    fleet.store.xadd(STREAM, {"event": cloud_event(forged)})
    fleet.store.xadd(STREAM, {"event": cloud_event("sg_named", event_id=forged, source=forged)})
    fleet.store.lpush("celery", message(json.dumps([[[forged]], {}, {}]).encode(), "application/json", task_id=forged))
    fleet.store.lpush("celery", message(b"[[], {}, {}]", "application/json", task=forged))
    fleet.still_works("after-forgery")
    until(lambda: "sg_forged" in fleet.worker.output, "a word about it")
    text = fleet.worker.log.read_bytes().decode()
    assert "\x1b" not in text
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())
