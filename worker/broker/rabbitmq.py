"""RabbitMQ as the broker: its queues for task messages and for dead letters, and Celery's settings for it."""

from __future__ import annotations

from contextlib import suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from amqp.exceptions import NotFound, PreconditionFailed
from kombu import Queue

from tasks.errors import CloserError
from tasks.namespace import Namespace

# Each delivery waits for the store for BATCH_DEADLINE_S before it is given back, so this lasts for more than a day
# without a store. It still ends a message that kills every worker that takes it.
DELIVERY_LIMIT = 1000
REMEDY = "give closer a virtual host of its own, or delete the queue when it is empty (docs/rabbitmq.md)"
_HEARTBEAT_S = 15
_CONNECT_S = 5
_READ_S = 10  # for replies to commands such as the declaration of a queue; waiting for messages polls instead
_TLS = {"ssl_ca_certs": "ca_certs", "ssl_certfile": "certfile", "ssl_keyfile": "keyfile"}


class ForeignQueue(CloserError):
    """A queue exists, but with other arguments than closer declares. `cause` is RabbitMQ's error."""

    def __init__(self, cause: PreconditionFailed) -> None:
        self.cause = cause
        self.problem = f"another program has declared a queue of ours in another way ({cause})"
        super().__init__(f"{self.problem}; {REMEDY}")


def is_amqp(url: str) -> bool:
    """Whether the address is one of RabbitMQ, by its scheme."""
    return url.startswith(("amqp:", "amqps:"))


def broker_settings(url: str, fleet: Namespace) -> dict[str, Any]:
    """Return Celery's configuration for the RabbitMQ at this address."""
    return {
        "broker_url": without_tls(url),
        "broker_use_ssl": tls(url),
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


def tls(url: str) -> dict[str, Any] | bool:
    """Return py-amqp's TLS options; False without TLS. They make py-amqp check the host's name, too."""
    if not url.startswith("amqps:"):
        return False
    given = {_TLS[name]: value for name, value in parse_qsl(urlsplit(url).query) if name in _TLS}
    return {"server_hostname": None} | given


def without_tls(url: str) -> str:
    """Return the address without the parameters that `tls` has read, because py-amqp does not know them."""
    if not url.startswith("amqps:"):
        return url
    parts = urlsplit(url)
    rest = [word for word in parts.query.split("&") if word.partition("=")[0] not in _TLS]
    return urlunsplit(parts._replace(query="&".join(rest)))
