"""Whether this worker takes task messages: switched off while the API refuses its key, so that others take them."""

from __future__ import annotations

from typing import Any


def set_consuming(consumer: Any, *, on: bool) -> None:
    """Begin or end to consume Celery's queues; called in the consumer's own thread, as often as you like.

    A consumer that connects again consumes again, so it must be told again.
    """
    task_consumer = consumer.task_consumer
    if task_consumer is None:  # between two connections
        return
    for name, queue in consumer.app.amqp.queues.consume_from.items():
        consuming = task_consumer.consuming_from(name)
        if on and not consuming:
            task_consumer.add_queue(queue)
            task_consumer.consume()
        elif consuming and not on:
            task_consumer.cancel_by_queue(name)
