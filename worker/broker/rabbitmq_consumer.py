"""Celery's consumer for RabbitMQ. It declares the queue of dead letters, and does not declare queues for countdowns."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from celery import bootsteps
from kombu import Message

from tasks.envelope import Unreadable, unpacked
from tasks.outage_log import OutageLog
from tasks.task_message import TaskMessage, put_aside, read
from worker.broker.rabbitmq import ForeignQueue, declare
from worker.broker.remote_control import RemoteControl
from worker.broker.tolerant_consumer import Steps, TolerantConsumer, without
from worker.settings import load

_log = logging.getLogger("closer.consumer")


class Queues(bootsteps.StartStopStep):
    """Declares the queues at every connection, and logs what is wrong with them."""

    requires = ("celery.worker.consumer.connection:Connection",)

    def __init__(self, parent: Any, **options: Any) -> None:
        super().__init__(parent, **options)
        self._trouble = OutageLog("consumer")

    def start(self, parent: Any) -> None:
        """Declare the queues; Celery has connected. After an error Celery connects again."""
        fleet = load().fleet
        try:
            held = declare(parent.connection.default_channel, fleet)
        except ForeignQueue as error:
            self._trouble.begins(error)
            raise error.cause from error  # Celery knows what to do about RabbitMQ's own errors
        self._trouble.ends()
        if held:
            _log.warning("%d messages in %s were given up; docs/rabbitmq.md tells what to do", held, fleet.dead_letters)


class RabbitSteps(Steps):
    """Our steps. They omit DelayedDelivery, which declares 28 queues for countdowns that closer does not use."""

    default_steps = (*without("Control", "DelayedDelivery"), RemoteControl, Queues)


class RabbitConsumer(TolerantConsumer):
    """Celery's consumer with the steps for RabbitMQ."""

    Blueprint = RabbitSteps

    def made_anew(self, message: Any) -> Any:
        """Return the message that Celery is to see. It keeps the delivery tag, by which it is acknowledged."""
        taken = _taken(message)
        return Message(
            body=taken.body().decode(),
            headers=taken.headers(),
            content_type="application/json",
            content_encoding="utf-8",
            accept=message.accept,
            channel=message.channel,
            delivery_tag=message.delivery_tag,
            delivery_info=message.delivery_info,
        )


def _taken(message: Any) -> TaskMessage:
    try:
        return read(unpacked(message.body or b"", message.headers, message.content_type), datetime.now(UTC))
    except Unreadable as error:
        body = message.body.encode("utf-8", "surrogatepass") if isinstance(message.body, str) else message.body
        return put_aside(body or b"", str(error))
