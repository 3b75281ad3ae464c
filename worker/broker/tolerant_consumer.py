"""Celery's consumer. It survives any message, and other programs cannot control it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from celery.worker import consumer
from celery.worker.consumer import Consumer as CeleryConsumer

from worker.broker.remote_control import RemoteControl

_log = logging.getLogger("closer.consumer")
_PAUSE_S = 0.5  # before a message goes back, because it is delivered again at once
_CelerysSteps: Any = consumer.Consumer.Blueprint  # its stub does not know the class


def without(*names: str) -> tuple[Any, ...]:
    """Return Celery's steps of a consumer's life, except those with these names."""
    return tuple(step for step in _CelerysSteps.default_steps if str(step).rpartition(":")[2] not in names)


class Steps(_CelerysSteps):  # type: ignore[misc]
    """Celery's steps, with closer's remote control in place of Celery's."""

    name = "Consumer"
    default_steps = (*without("Control"), RemoteControl)


class TolerantConsumer(CeleryConsumer):
    """Takes messages that closer rebuilds when they come off the broker, see `tasks.task_message`.

    So an exception here is an error of closer's own. Celery's consumer would end the worker with it. The message would
    stay in the queue and end the next worker.
    """

    Blueprint = Steps

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        # Mingle and gossip tell workers what others have revoked, and read what anybody publishes. Celery's heartbeat
        # is an event that nobody reads. While the store is away it would be sent again and again for ever, and
        # meanwhile the consumer could not stop.
        super().__init__(*args, **kwargs, without_mingle=True, without_gossip=True, without_heartbeat=True)
        # After any exception while it reads from the broker it connects again, as after a lost connection.
        self.connection_errors = (*self.connection_errors, Exception)  # type: ignore[has-type]

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """Return the handler of each message. A message that it fails to read goes back to the queue."""
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
        """Return the message that Celery is to see. Over Redis it was rebuilt when it was read."""
        return message
