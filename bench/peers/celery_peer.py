"""Plain Celery: the Redis broker, one task, one message for each group, acknowledged late."""

from __future__ import annotations

from celery import Celery

from bench.groups import references, store_url
from bench.peers.http_sync import close_group

app = Celery("celery_peer", broker=store_url())
app.conf.task_acks_late = True
app.conf.task_ignore_result = True


@app.task
def close(reference: str) -> None:
    """Close one group."""
    close_group(reference)


def enqueue(count: int) -> None:
    """Send a message for each group."""
    for reference in references(count):
        close.delay(reference)
