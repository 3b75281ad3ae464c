"""Which of kombu's transports are ours: every connection of the app goes over one that outlives any message."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection

from worker.broker import amqp_transport, redis_transport

# By the name that kombu finds for an address; `librabbitmq` is what it prefers for `amqp://` where that is installed.
_OURS: dict[str, Any] = {
    "redis": redis_transport.Transport,
    "rediss": redis_transport.Transport,
    "sentinel": redis_transport.SentinelTransport,
    "amqp": amqp_transport.Transport,
    "librabbitmq": amqp_transport.Transport,
    "amqps": amqp_transport.SSLTransport,
}


class TolerantConnection(Connection):
    """A connection whose transport is ours."""

    def get_transport_cls(self) -> Any:
        """The transport for the address's scheme."""
        return _OURS[str(self.transport_cls)]


class TolerantAMQP(AMQP):
    """Celery's factory of connections, which makes these."""

    Connection = TolerantConnection
