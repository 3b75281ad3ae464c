"""Which of kombu's transports are ours: every connection of the app goes over one that outlives any message."""

from __future__ import annotations

from typing import Any

from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import pyamqp
from kombu.transport import redis as kombu_redis

from worker import amqp_transport, redis_transport

_OURS: dict[Any, Any] = {
    kombu_redis.Transport: redis_transport.Transport,
    kombu_redis.SentinelTransport: redis_transport.SentinelTransport,
    pyamqp.Transport: amqp_transport.Transport,
    pyamqp.SSLTransport: amqp_transport.SSLTransport,
}


class TolerantConnection(Connection):
    """A connection whose transport is ours."""

    def get_transport_cls(self) -> Any:
        """The transport for the address's scheme."""
        return _OURS[super().get_transport_cls()]


class TolerantAMQP(AMQP):
    """Celery's factory of connections, which makes these."""

    Connection = TolerantConnection
