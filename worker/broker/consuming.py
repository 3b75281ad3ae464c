"""Switches a worker's intake of task messages off while the API refuses its key, so that other workers take them."""

from __future__ import annotations

from typing import Any


class Consuming:
    """Switches Celery's consumer on and off. The last call of `say` counts, whatever order Celery handles them in."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._on = True

    def begin(self, consumer: Any) -> None:
        """Take Celery's consumer, which is ready and consumes."""
        self._consumer = consumer

    def say(self, on: bool) -> None:
        """Take task messages (`on`), or leave them to other workers. May be called from any thread, at any time.

        A consumer that connects again consumes again, so it must be told again.
        """
        self._on = on
        if self._consumer is not None:
            # Celery may run these calls in any order, so each call reads the latest wish instead of carrying one.
            self._consumer.call_soon(self._obey)

    def _obey(self) -> None:
        """Start or stop consuming Celery's queues. Celery calls this in the consumer's own thread."""
        task_consumer, on = self._consumer.task_consumer, self._on
        if task_consumer is None:  # between two connections
            return
        for name, queue in self._consumer.app.amqp.queues.consume_from.items():
            consuming = task_consumer.consuming_from(name)
            if on and not consuming:
                task_consumer.add_queue(queue)
                task_consumer.consume()
            elif consuming and not on:
                task_consumer.cancel_by_queue(name)
