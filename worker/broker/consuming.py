"""Whether this worker takes task messages: switched off while the API refuses its key, so that others take them."""

from __future__ import annotations

from typing import Any


class Consuming:
    """Switches Celery's consumer on and off. What was said last counts, in whatever order the consumer comes to it."""

    def __init__(self) -> None:
        self._consumer: Any = None
        self._on = True

    def begin(self, consumer: Any) -> None:
        """Celery's consumer is ready, and consumes."""
        self._consumer = consumer

    def say(self, on: bool) -> None:
        """Take task messages, or leave them to others; from any thread, as often as you like.

        A consumer that connects again consumes again, so it must be told again.
        """
        self._on = on
        if self._consumer is not None:
            # Celery does what it is given together in any order, so what it is given holds no order of its own.
            self._consumer.call_soon(self._obey)

    def _obey(self) -> None:
        """Begin or end to consume Celery's queues; called in the consumer's own thread."""
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
