"""RabbitMQ as the broker: its queues for task messages and for dead letters, and Celery's settings for it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Queue

from tasks.errors import CloserError
from tasks.namespace import Namespace
from worker.settings.amqp_address import AmqpAddress
from worker.settings.tls import Tls

# Each delivery waits for the store for BATCH_DEADLINE_S before it is given back, so this lasts for more than a day
# without a store. It still ends a message that kills every worker that takes it.
DELIVERY_LIMIT = 1000
REMEDY = "give closer a virtual host of its own, or delete the queue when it is empty (docs/rabbitmq.md)"
_HEARTBEAT_S = 15
_CONNECT_S = 5
_READ_S = 10  # for replies to commands such as the declaration of a queue; waiting for messages polls instead


class ForeignQueue(CloserError):
    """A queue exists, but with other arguments than closer declares. `cause` is RabbitMQ's error."""

    def __init__(self, cause: PreconditionFailed) -> None:
        self.cause = cause
        self.problem = f"another program has declared a queue of ours in another way ({cause})"
        super().__init__(f"{self.problem}; {REMEDY}")


def broker_settings(address: AmqpAddress, fleet: Namespace) -> dict[str, Any]:
    """Return Celery's configuration for the RabbitMQ at this address."""
    return {
        "broker_url": address.url,
        "broker_use_ssl": _tls_options(address.tls) if address.tls else False,
        "broker_connection_timeout": _CONNECT_S,
        "broker_heartbeat": _HEARTBEAT_S,
        "broker_transport_options": {"confirm_publish": True, "read_timeout": _READ_S, "write_timeout": _READ_S},
        "task_default_queue": fleet.queue,
        "task_default_queue_type": "quorum",
        "task_queues": [task_queue(fleet)],
        "worker_detect_quorum_queues": True,  # quorum queues do not support a global prefetch count
        "worker_consumer": "worker.broker.rabbitmq_consumer:RabbitConsumer",
    }


def task_queue(fleet: Namespace) -> Queue:
    """Return the queue that workers consume. A message that it gives up is kept in the queue of dead letters."""
    arguments = {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": "",
        "x-dead-letter-routing-key": fleet.dead_letters,
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # RabbitMQ demands it for at-least-once dead letters
    }
    return Queue(fleet.queue, routing_key=fleet.queue, queue_arguments=arguments)


def dead_letters(fleet: Namespace) -> Queue:
    """Return the queue of dead letters. By default RabbitMQ 4 drops a message that was looked at 20 times."""
    return Queue(fleet.dead_letters, queue_arguments={"x-queue-type": "quorum", "x-delivery-limit": 1_000_000})


def declare(channel: Any, fleet: Namespace) -> int:
    """Declare both queues and return the number of dead letters. Raises ForeignQueue; the channel is closed then."""
    _declare(task_queue(fleet), channel)
    return _declare(dead_letters(fleet), channel)


def declared(connection: Any, fleet: Namespace) -> int:
    """Compare the queues that exist, and create none. Returns the number of dead letters. Raises ForeignQueue."""
    held = 0
    for queue in (task_queue(fleet), dead_letters(fleet)):
        with suppress(NotFound):
            queue.bind(connection.channel()).queue_declare(passive=True)
            held = _declare(queue, connection.channel())
    return held


def _declare(queue: Queue, channel: Any) -> int:
    try:
        answer: Any = queue.bind(channel).queue_declare()  # its stub says that this is a name
    except PreconditionFailed as error:
        raise ForeignQueue(error) from error
    return int(answer.message_count)


def _tls_options(tls: Tls) -> dict[str, Any]:
    """Return py-amqp's TLS options. They make py-amqp check the host's name, too."""
    files = {"ca_certs": tls.authorities, "certfile": tls.certificate, "keyfile": tls.key}
    return {"server_hostname": None} | {name: file for name, file in files.items() if file}
