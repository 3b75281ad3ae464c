"""Celery's consumer as it is with RabbitMQ: without queues for countdowns, with a queue for dead letters."""

from __future__ import annotations

import logging
from typing import Any

from celery import bootsteps
from celery.worker import consumer

from tasks.trouble import Trouble
from worker.hardy import HardyConsumer
from worker.rabbitmq import DEAD_LETTERS, ForeignQueue, declare

_log = logging.getLogger("closer.consumer")
_CelerysSteps: Any = consumer.Consumer.Blueprint  # its stub knows no class


class Queues(bootsteps.StartStopStep):
    """Declares the queues at every connection, and says what is wrong with them."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._trouble = Trouble("consumer")

    def start(self, parent: Any) -> None:
        """Celery has connected. After an error it connects again."""
        try:
            held = declare(parent.connection.default_channel)
        except ForeignQueue as error:
            self._trouble.begins(error)
            raise error.cause from error  # Celery knows what to do about RabbitMQ's own errors
        self._trouble.ends()
        if held:
            _log.warning("%d messages in %s were given up; docs/rabbitmq.md tells what to do", held, DEAD_LETTERS)


class Steps(_CelerysSteps):  # type: ignore[misc]
    """Celery's steps of a consumer's life; the 28 queues that its DelayedDelivery declares are for countdowns."""

    name = "Consumer"
    default_steps = (
        *(step for step in _CelerysSteps.default_steps if not str(step).endswith(":DelayedDelivery")),
        Queues,
    )


class RabbitConsumer(HardyConsumer):
    """Celery's consumer, with these steps."""

    Blueprint = Steps
