"""kombu's transport over Redis. It survives any bytes, because closer reads each item before kombu sees it.

kombu takes an item off a list and then parses it. Bytes that it cannot parse are lost, and its loop ends. So the client
hands kombu only items that are made here. Each gets a delivery tag of its own, because a tag that a foreign program
chose could acknowledge another program's message.
"""

from __future__ import annotations

import base64
import json
import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4

import redis
from kombu.transport import redis as kombu_redis

from tasks.envelope import Unreadable, from_redis, load_json
from tasks.task_message import put_aside, read
from worker.broker import remote_control, unprefixed
from worker.broker.idle_connections import DropsIdle, drop_idle

_log = logging.getLogger("closer.redis_transport")
_KombuQoS: Any = kombu_redis.QoS  # its stub lacks most of it


def queue_item(raw: bytes, queue: str) -> bytes:
    """Return the item that kombu reads in place of these bytes from a queue. Never raises."""
    try:
        message = read(from_redis(raw), datetime.now(UTC))
    except Unreadable as error:
        message = put_aside(raw, str(error))
    except Exception as error:
        message = put_aside(raw, f"it cannot be read ({type(error).__name__})")
    return _item(message.body(), message.headers(), queue)


def control_item(raw: bytes) -> bytes:
    """Return what kombu reads in place of these bytes from the control channel; empty when they are not a message."""
    try:
        if len(raw) > remote_control.MAX_BYTES:
            raise Unreadable(f"it has {len(raw)} bytes")  # noqa: TRY301
        return _item(from_redis(raw).body, {}, "")
    except Exception as error:
        remote_control.refuse(error)
        return b""


def _item(body: bytes, headers: dict[str, Any], queue: str) -> bytes:
    properties = {
        "body_encoding": "base64",
        "delivery_info": {"exchange": "", "routing_key": queue},
        "delivery_mode": 2,
        "delivery_tag": str(uuid4()),
        "priority": 0,
    }
    item = {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": headers,
        "properties": properties,
    }
    return json.dumps(item).encode()


class _Client(kombu_redis.PrefixedStrictRedis):
    """A client whose BRPOP returns items that are made here, from keys with and without its prefix."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """Return the reply to a command. For BRPOP the item is replaced, see `queue_item`."""
        # kombu's own method cuts the prefix's length off every key, so a key without a prefix would lose its name.
        reply = redis.Redis.parse_response(self, connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not reply:
            return reply
        key, raw = reply
        key = key.removeprefix(self.global_keyprefix.encode())
        queue = key.decode("utf-8", "backslashreplace").rpartition(Channel.sep)
        return key, queue_item(raw, queue[0] or queue[2])

    def pubsub(self, **kwargs: Any) -> _PubSub:
        """Return a subscription to channels with its prefix."""
        return _PubSub(self.connection_pool, global_keyprefix=self.global_keyprefix, **kwargs)


class _ReadsControl:
    """A subscription that passes on only what can be a message."""

    def parse_response(self, *args: Any, **kwargs: Any) -> Any:
        """Return the next reply or message. A message is replaced, see `control_item`."""
        reply = super().parse_response(*args, **kwargs)  # type: ignore[misc]
        if not reply or reply[0] not in (b"message", b"pmessage"):
            return reply
        return [*reply[:-1], control_item(reply[-1])]


class _PubSub(_ReadsControl, kombu_redis.PrefixedRedisPubSub):
    """Subscribes to channels by name where kombu asks for patterns; its patterns are plain names.

    An ACL with the pattern `&{closer}:/*` lets a user subscribe to each name that it matches, but only to that one
    pattern.
    """

    def psubscribe(self, *args: Any, **kwargs: Any) -> Any:
        """Subscribe to the channels with these names."""
        return self.subscribe(*args, **kwargs)

    def punsubscribe(self, *args: Any) -> Any:
        """End the subscription to the channels with these names; to all, if none is given."""
        return self.unsubscribe(*args)  # type: ignore[no-untyped-call]


class _QoS(_KombuQoS):  # type: ignore[misc]
    _bare_start = 0

    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Put back messages that were taken too long ago. kombu calls this regularly."""
        super().restore_visible(start, num, interval)
        if (self._vrestore_count - 1) % (interval or 1) or not unprefixed.takes_from(self.channel.global_keyprefix):
            return
        with self.channel.conn_or_acquire() as client:
            bare = redis.Redis(connection_pool=client.connection_pool)
            to = self.channel.global_keyprefix + self.channel.closers_queue
            self._bare_start = unprefixed.restore(bare, self.channel.visibility_timeout, to, self._bare_start)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put back a message that nobody acknowledged. One that kombu cannot read goes back as raw bytes.

        kombu would try such a message again and again for ever.
        """
        with self.channel.conn_or_acquire(client) as conn:
            raw = conn.hget(self.unacked_key, tag)
            if raw is None or _can_be_restored(raw):
                super().restore_by_tag(tag, conn, leftmost)
                return
            _log.warning("the broker's key %s held what is not a message; it is put aside", self.unacked_key)
            with conn.pipeline() as pipe:
                self._remove_from_indices(tag, pipe)
                pipe.lpush(self.channel.closers_queue, raw)
                pipe.execute()


def _can_be_restored(raw: bytes) -> bool:
    try:
        message, exchange, routing_key = load_json(raw)
        info = message["properties"]["delivery_info"]
        return isinstance(message["headers"] | info, dict) and isinstance(exchange + routing_key, str)
    except (ValueError, TypeError, LookupError):
        return False


class _Tolerant:
    """The parts that make a kombu channel tolerant."""

    QoS = _QoS
    closers_queue = "celery"
    _bare_first = False

    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]  # it refuses versions of redis-py that are too old
        return partial(_Client, global_keyprefix=getattr(self, "global_keyprefix", ""))

    def _connparams(self: Any, asynchronous: bool = False) -> dict[str, Any]:
        params: dict[str, Any] = super()._connparams(asynchronous=asynchronous)  # type: ignore[misc]
        return params | {"retry": DropsIdle(lambda: self._pool)}

    def _on_connection_disconnect(self: Any, connection: Any) -> None:
        super()._on_connection_disconnect(connection)  # type: ignore[misc]
        drop_idle(self._pool)

    def _brpop_start(self: Any, timeout: Any = None) -> None:
        """Ask for the next item. The default fleet also asks the list without a prefix."""
        if not unprefixed.takes_from(self.global_keyprefix) or self.closers_queue not in self.active_queues:
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        timeout = self.brpop_timeout if timeout is None else timeout
        queues = self._queue_cycle.consume(len(self.active_queues))
        names = [self._q_for_pri(queue, priority) for priority in self.priority_steps for queue in queues]
        bare = [self._q_for_pri(unprefixed.QUEUE, priority) for priority in self.priority_steps]
        ours = [self.global_keyprefix + name for name in names]
        # The store looks at the keys in this order. It alternates, so that neither list blocks the other for ever.
        self._bare_first = not self._bare_first
        keys = [*bare, *ours] if self._bare_first else [*ours, *bare]
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        self.client.connection.send_command("BRPOP", *keys, timeout or 0)


class Channel(_Tolerant, kombu_redis.Channel):  # type: ignore[misc]
    """A tolerant channel over Redis."""


class Transport(kombu_redis.Transport):
    """kombu's transport for `redis://`, `rediss://` and `redis+socket://`, with tolerant channels."""

    Channel = Channel
