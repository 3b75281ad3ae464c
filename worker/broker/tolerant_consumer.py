"""Celery's consumer, made to outlive any message, and without what would let other programs steer it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery.worker import consumer
from celery.worker.consumer import Consumer as CeleryConsumer

from worker.broker.remote_control import RemoteControl

_log = logging.getLogger("closer.consumer")
_PAUSE_S = 0.5  # before a message goes back: it comes again at once
_CelerysSteps: Any = consumer.Consumer.Blueprint  # its stub knows no class


def without(*names: str) -> tuple[Any, ...]:
    """Celery's steps of a consumer's life, but these."""
    return tuple(step for step in _CelerysSteps.default_steps if str(step).rpartition(":")[2] not in names)


class Steps(_CelerysSteps):  # type: ignore[misc]
    """Celery's steps, with our remote control."""

    name = "Consumer"
    default_steps = (*without("Control"), RemoteControl)


class TolerantConsumer(CeleryConsumer):
    """Takes messages that are made anew when they come off the broker, see `tasks.task_message`.

    So what is refused here is an error of closer's own. Celery's consumer would end the worker with it, and the
    message, kept, would end the next one.
    """

    Blueprint = Steps

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Mingle and gossip tell workers what others have revoked, and read what anybody publishes.
        super().__init__(*args, **kwargs, without_mingle=True, without_gossip=True)
        # Whatever a library raises while it reads from the broker: connect again, as after a lost connection.
        self.connection_errors = (*self.connection_errors, Exception)  # type: ignore[has-type]

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """The handler of each message."""
        receive = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> None:
            try:
                receive(self.made_anew(message))
            except Exception as error:
                _log.critical("a task message goes back to the queue: closer failed to read it", exc_info=error)
                time.sleep(_PAUSE_S)
                message.reject_log_error(_log, self.connection_errors, requeue=True)

        return on_message

    def made_anew(self, message: Any) -> Any:
        """The message that Celery is to see. Over Redis it was made when it was read."""
        return message
