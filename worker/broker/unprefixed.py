"""Takes task messages from Celery's keys without a prefix, which other programs and older releases use.

A foreign program that does not know namespaces sends its tasks to the list `celery`. Its message may be all that is
known of a group, so none may be left behind. Only the fleet of the default namespace takes them.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import redis

from tasks.envelope import load_json
from tasks.namespace import DEFAULT_NAMESPACE

QUEUE = DEFAULT_NAMESPACE.queue
_UNACKED, _INDEX = "unacked", "unacked_index"
_MOST = 1000  # messages that are looked at in one go; a worker has a handful in hand
_log = logging.getLogger("closer.unprefixed")


def takes_from(prefix: str) -> bool:
    """Whether the fleet with this prefix of keys takes messages from keys without a prefix."""
    return prefix == DEFAULT_NAMESPACE.prefix


def restore(client: redis.Redis, older_than_s: float, to: str, start: int = 0) -> int:
    """Put messages that a worker of an older release took and never acknowledged into the list `to`.

    `older_than_s`: how long ago they must have been taken (s). `start`: how many of the oldest to pass over. Messages
    of other queues belong to other programs and stay. Each message is moved in one transaction, so a crash loses none.
    Returns the `start` of the next call, so that what stays never hides what stands behind it.
    """
    end_s = time.time() - older_than_s
    tags: Any = client.zrange(_INDEX, 0, end_s, byscore=True, offset=start, num=_MOST)
    moved = sum(_restore_one(client, tag, to) for tag in tags)
    return start + len(tags) - moved if len(tags) == _MOST else 0


def _restore_one(client: redis.Redis, tag: bytes, to: str) -> bool:
    """Put one message back; False when it is not ours, or is gone."""
    raw: Any = client.hget(_UNACKED, tag)
    if raw is None or (message := _of_ours(raw)) is None:
        return False
    with client.pipeline(transaction=True) as pipe:
        pipe.rpush(to, message)
        pipe.zrem(_INDEX, tag)
        pipe.hdel(_UNACKED, tag)
        pipe.execute()
    _log.info("a message that an older release had in hand is back in the queue")
    return True


def _of_ours(raw: bytes) -> str | None:
    """The message that was kept, if it came from the queue of closer's tasks."""
    try:
        message, _, routing_key = load_json(raw)
        return json.dumps(message) if routing_key == QUEUE else None
    except (ValueError, TypeError, LookupError):
        return None
