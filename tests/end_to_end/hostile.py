"""What the tests of hostile input share: a running worker that must go on, and messages as they stand in the queue."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import redis

from tasks.task_message import TASK_NAME
from tests.support import Process, key_of, publish, until

QUEUE = "celery"
CONTROL = key_of("/0.celery.pidbox")


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running worker and its store."""

    url: str
    store: redis.Redis
    worker: Process

    def still_works(self) -> None:
        """Returns when an event is closed; everything before it in the queue has been dealt with then."""
        reference = f"sg_{uuid4().hex}"
        publish(self.store, [reference])
        self.closes(reference)

    def closes(self, reference: str) -> None:
        """Returns when this group is closed."""

        def closed() -> bool:
            assert self.worker.process.poll() is None, self.worker.output
            return self.store.zscore(key_of("closed"), reference) is not None

        until(closed, f"{reference} closed")

    def keeps(self, words: str) -> tuple[bytes, str]:
        """Bytes and problems of the rejected event with these words in bytes, problems or origin; waits for it."""

        def found() -> tuple[bytes, str] | None:
            entries: Any = self.store.xrange(key_of("rejected"))
            for _, fields in entries:
                told = [fields[name].decode("utf-8", "backslashreplace") for name in (b"event", b"problems", b"origin")]
                if any(words in text for text in told):
                    return fields[b"event"], told[1]
            return None

        kept: tuple[bytes, str] = until(found, f"a rejected event with {words}")
        return kept

    def holds_nothing_back(self) -> None:
        """Returns when no message is left unacknowledged: each was one prefetch slot of four."""
        until(
            lambda: (
                not self.store.hlen(key_of("unacked"))
                and not self.store.llen(QUEUE)
                and not self.store.llen(key_of(QUEUE))
            ),
            "every message acknowledged",
        )


def message(body: bytes, content_type: Any = "application/json", task: Any = TASK_NAME, task_id: Any = None) -> str:
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
                "delivery_info": {"exchange": "", "routing_key": QUEUE},
                "priority": 0,
                "body_encoding": "base64",
                "delivery_tag": str(uuid4()),
            },
        }
    )


def changed(part: str, body: bytes = b"[[], {}, {}]", **more: Any) -> str:
    """A good message with something else in its headers or properties; None takes it away."""
    whole = json.loads(message(body))
    whole[part] = {name: value for name, value in {**whole[part], **more}.items() if value is not None}
    return json.dumps(whole)


def without(part: str, body: bytes) -> str:
    """A good message without one of its parts."""
    whole = json.loads(message(body))
    del whole[part]
    return json.dumps(whole)


def nested(depth: int) -> bytes:
    """Lists in lists."""
    return b"[" * depth + b"]" * depth
