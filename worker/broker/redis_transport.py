"""kombu's transport over Redis, made to outlive any bytes: each is read here, before kombu sees it.

kombu parses what it has taken off a list on its own; bytes that it cannot parse are lost then, and its loop with them.
So the client hands it only items that are made anew here, with a delivery tag of their own: one that a foreign program
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

_log = logging.getLogger("closer.redis_transport")
_KombuQoS: Any = kombu_redis.QoS  # its stub lacks most of it


def queue_item(raw: bytes, queue: str) -> bytes:
    """What kombu reads instead of these bytes from a queue; never raises."""
    try:
        message = read(from_redis(raw), datetime.now(UTC))
    except Unreadable as error:
        message = put_aside(raw, str(error))
    except Exception as error:
        message = put_aside(raw, f"it cannot be read ({type(error).__name__})")
    return _item(message.body(), message.headers(), queue)


def control_item(raw: bytes) -> bytes:
    """What kombu reads instead of these bytes from the control channel: nothing when it is not a message."""
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
    """A client whose BRPOP returns items made anew, from keys with its prefix and without."""

    def parse_response(self, connection: Any, command_name: Any, **options: Any) -> Any:
        """The reply of a command."""
        # Not kombu's: it cuts the prefix off whatever key it is, so one without a prefix would lose its name.
        reply = redis.Redis.parse_response(self, connection, command_name, **options)  # type: ignore[no-untyped-call]
        if command_name != "BRPOP" or not reply:
            return reply
        key, raw = reply
        key = key.removeprefix(self.global_keyprefix.encode())
        queue = key.decode("utf-8", "backslashreplace").rpartition(Channel.sep)
        return key, queue_item(raw, queue[0] or queue[2])

    def pubsub(self, **kwargs: Any) -> _PubSub:
        """A subscription to channels with its prefix."""
        return _PubSub(self.connection_pool, global_keyprefix=self.global_keyprefix, **kwargs)


class _ReadsControl:
    """A subscription that hears only what can be a message."""

    def parse_response(self, *args: Any, **kwargs: Any) -> Any:
        """The next reply, or message."""
        reply = super().parse_response(*args, **kwargs)  # type: ignore[misc]
        if not reply or reply[0] not in (b"message", b"pmessage"):
            return reply
        return [*reply[:-1], control_item(reply[-1])]


class _PubSub(_ReadsControl, kombu_redis.PrefixedRedisPubSub):
    pass


class _QoS(_KombuQoS):  # type: ignore[misc]
    def restore_visible(self, start: int = 0, num: int = 10, interval: int = 10) -> None:
        """Put back what was taken too long ago; kombu calls this every now and then."""
        super().restore_visible(start, num, interval)
        if (self._vrestore_count - 1) % (interval or 1) or not unprefixed.takes_from(self.channel.global_keyprefix):
            return
        with self.channel.conn_or_acquire() as client:
            bare = redis.Redis(connection_pool=client.connection_pool)
            unprefixed.restore(
                bare, self.channel.visibility_timeout, self.channel.global_keyprefix + self.channel.closers_queue
            )

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put a message that nobody acknowledged back; what kombu could not, and would try for ever, goes back raw."""
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
    """What a channel needs to be one of these."""

    QoS = _QoS
    closers_queue = "celery"
    _bare_first = False

    def _get_client(self) -> Any:
        super()._get_client()  # type: ignore[misc]  # it refuses versions of redis-py that are too old
        return partial(_Client, global_keyprefix=getattr(self, "global_keyprefix", ""))

    def _brpop_start(self: Any, timeout: Any = None) -> None:
        """Ask for the next item; the default fleet asks for one of the list without a prefix, too."""
        if not unprefixed.takes_from(self.global_keyprefix) or self.closers_queue not in self.active_queues:
            super()._brpop_start(timeout)  # type: ignore[misc]
            return
        timeout = self.brpop_timeout if timeout is None else timeout
        queues = self._queue_cycle.consume(len(self.active_queues))
        names = [self._q_for_pri(queue, priority) for priority in self.priority_steps for queue in queues]
        bare = [self._q_for_pri(unprefixed.QUEUE, priority) for priority in self.priority_steps]
        ours = [self.global_keyprefix + name for name in names]
        # In turn: the store looks at the keys in this order, and neither list may keep the other waiting for ever.
        self._bare_first = not self._bare_first
        keys = [*bare, *ours] if self._bare_first else [*ours, *bare]
        self._in_poll = self.client.connection
        self._brpop_sent_at = time.monotonic()
        self.client.connection.send_command("BRPOP", *keys, timeout or 0)


class Channel(_Tolerant, kombu_redis.Channel):  # type: ignore[misc]
    """A channel over Redis."""


class SentinelChannel(_Tolerant, kombu_redis.SentinelChannel):  # type: ignore[misc]
    """A channel over the Redis that Sentinels name."""


class Transport(kombu_redis.Transport):
    """Redis."""

    Channel = Channel


class SentinelTransport(kombu_redis.SentinelTransport):
    """Redis behind Sentinels."""

    Channel = SentinelChannel
