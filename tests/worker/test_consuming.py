"""Celery's consumer is switched off and on: it ends as it was told last."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from kombu import Connection, Consumer, Queue

from worker.broker.consuming import Consuming

Call = Callable[[], None]


class CelerysConsumer:
    """What `Consuming` uses of Celery's: kombu's own consumer, and calls that it comes to later."""

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self.task_consumer: Any = Consumer(connection.channel(), [queue], callbacks=[lambda *_: None])
        self.task_consumer.consume()
        self.app = SimpleNamespace(amqp=SimpleNamespace(queues=SimpleNamespace(consume_from={queue.name: queue})))
        self._calls: list[Call] = []

    def call_soon(self, call: Call) -> None:
        """Keep the call."""
        self._calls.append(call)

    def come_to_them(self, *, backwards: bool) -> None:
        """Make all calls; Celery keeps them in a set, or in a stack, so their order is any."""
        calls, self._calls = self._calls, []
        for call in reversed(calls) if backwards else calls:
            call()


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("said", [(False,), (True,), (False, True), (True, False), (False, False, True, True)])
def test_what_was_said_last_counts(said: tuple[bool, ...], backwards: bool) -> None:
    """A key that is refused and accepted again at once leaves no worker that is idle, whoever is called first."""
    with Connection("memory://") as connection:
        consumer, consuming = CelerysConsumer(connection, Queue("celery")), Consuming()
        consuming.begin(consumer)
        for on in said:
            consuming.say(on)
        consumer.come_to_them(backwards=backwards)
        assert consumer.task_consumer.consuming_from("celery") is said[-1]


def test_between_two_connections() -> None:
    """A consumer without a connection is left alone, and one that is not there yet, too."""
    with Connection("memory://") as connection:
        consumer, consuming = CelerysConsumer(connection, Queue("celery")), Consuming()
        consuming.say(False)
        consumer.task_consumer = None
        consuming.begin(consumer)
        consuming.say(False)
        consumer.come_to_them(backwards=False)
