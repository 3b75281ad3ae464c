"""dramatiq: a Redis broker, one actor, one message for each group."""

from __future__ import annotations

import dramatiq
from dramatiq.brokers.redis import RedisBroker

from bench.groups import references, store_url
from bench.peers.http_sync import close_group

dramatiq.set_broker(RedisBroker(url=store_url()))


@dramatiq.actor
def close(reference: str) -> None:
    """Close one group."""
    close_group(reference)


def enqueue(count: int) -> None:
    """Send a message for each group."""
    for reference in references(count):
        close.send(reference)
