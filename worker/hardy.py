"""Celery's consumer, made to outlive any message: what any program can put into the queue must not end a worker."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer

# What reading a message raises that is not built as messages are: no dictionary, no id, half a body, no JSON at all.
_MALFORMED = (AttributeError, LookupError, TypeError, ValueError)


class HardyConsumer(CeleryConsumer):
    """Refuses what it cannot read. Celery's own ends the worker, and the message, kept, then ends the next one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # What kombu cannot read it drops before any handler sees it: connect again, as after a lost connection.
        self.connection_errors = (*self.connection_errors, *_MALFORMED)  # type: ignore[has-type]

    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """The handler of each message."""
        receive = super().create_task_handler(*args, **kwargs)

        def on_message(message: Any) -> None:
            try:
                receive(message)
            except _MALFORMED as error:
                self.on_invalid_task(None, message, error)

        return on_message
