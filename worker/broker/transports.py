"""Chooses closer's transports: every connection of the app uses one that survives any message."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection

from worker.broker import amqp_transport, redis_transport

# The keys are the names that kombu finds for an address. It prefers `librabbitmq` for `amqp://` where it is installed.
_OURS: dict[str, Any] = {
    "redis": redis_transport.Transport,
    "rediss": redis_transport.Transport,
    "amqp": amqp_transport.Transport,
    "librabbitmq": amqp_transport.Transport,
    "amqps": amqp_transport.SSLTransport,
}


class TolerantConnection(Connection):
    """A connection that uses closer's transports."""

    def get_transport_cls(self) -> Any:
        """Return the transport for the address's scheme."""
        return _OURS[str(self.transport_cls)]


class TolerantAMQP(AMQP):
    """Celery's factory of connections; it makes tolerant ones."""

    Connection = TolerantConnection
