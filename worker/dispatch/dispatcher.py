"""The dispatcher sends batches of references as task messages, and waits until the broker has confirmed each."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from amqp.exceptions import AMQPError, MessageNacked
from celery import Task
from kombu import Connection, Producer
from kombu.exceptions import OperationalError

from worker.dispatch.sweep import BrokerUnavailable

_CONFIRM_S = 10.0  # a RabbitMQ that is short of memory or disk space confirms nothing meanwhile
_REFUSED = (OperationalError, AMQPError, MessageNacked, OSError)


class Dispatcher:
    """Sends batches from a thread of its own, over a connection of its own, because sending would block the loop."""

    def __init__(self, task: Task[Any, Any]) -> None:
        self._task = task
        self._connection: Connection | None = None
        self._producer: Producer | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="dispatch")

    async def dispatch(self, references: list[str]) -> None:
        """Send one message that names these references. Returns when the broker has it.

        Raises BrokerUnavailable; the broker may have the message all the same. That is safe: a group that is named
        twice is claimed once.
        """
        await asyncio.get_running_loop().run_in_executor(self._thread, self._send, references)

    def close(self) -> None:
        """Give up the thread without waiting. A message that was not sent counts as lost later, and is sent again."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _send(self, references: list[str]) -> None:
        # There may be many references, so Celery's logs and events show only their number.
        options: dict[str, Any] = {"argsrepr": f"<{len(references)} references>", "retry": False}
        options |= {"timeout": _CONFIRM_S, "confirm_timeout": _CONFIRM_S}
        try:
            self._task.apply_async((references,), producer=self._connected(), **options)
        except _REFUSED as error:
            self._disconnect()
            raise BrokerUnavailable(f"the broker does not take messages ({type(error).__name__}: {error})") from error

    def _connected(self) -> Producer:
        if self._producer is None or self._connection is None:
            self._connection = self._task.app.connection_for_write()
            self._producer = Producer(self._connection, auto_declare=False)
        return self._producer

    def _disconnect(self) -> None:
        """Drop the connection after an error. A late confirmation on it would count for the next message."""
        if self._connection is not None:
            with suppress(*_REFUSED):
                self._connection.collect()
            self._producer = self._connection = None
