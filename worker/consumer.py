"""Celery's consumer as it is with RabbitMQ: without queues for countdowns, with a queue for dead letters."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps
from celery.worker import consumer

from worker.rabbitmq import DEAD_LETTERS, dead_letters

_log = logging.getLogger("closer.consumer")
_CelerysSteps: Any = consumer.Consumer.Blueprint  # its stub knows no class


class DeadLetters(bootsteps.StartStopStep):
    """Declares the queue of dead letters at every connection, and says when it holds some."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def start(self, parent: Any) -> None:
        """Celery has connected. Errors are Celery's to handle: it connects again."""
        if held := declare(parent.connection.default_channel):
            _log.warning("%d messages in %s were given up; docs/rabbitmq.md tells what to do", held, DEAD_LETTERS)


def declare(channel: Any) -> int:
    """Declare the queue of dead letters; returns how many it holds."""
    answer: Any = dead_letters().bind(channel).queue_declare()  # its stub knows a name only
    return int(answer.message_count)


class Steps(_CelerysSteps):  # type: ignore[misc]
    """Celery's steps of a consumer's life; the 28 queues that its DelayedDelivery declares are for countdowns."""

    name = "Consumer"
    default_steps = (
        *(step for step in _CelerysSteps.default_steps if not str(step).endswith(":DelayedDelivery")),
        DeadLetters,
    )


class RabbitConsumer(consumer.Consumer):
    """Celery's consumer, with these steps."""

    Blueprint = Steps
