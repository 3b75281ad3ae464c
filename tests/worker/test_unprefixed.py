"""Task messages that an older release's worker had in hand are taken over, whatever else the same keys hold."""

from __future__ import annotations

import json
from typing import Any

import redis

from worker.broker import unprefixed

FOREIGN = 2500


def test_a_message_behind_many_of_other_programs(store: redis.Redis) -> None:
    """It is found although more messages of other queues, and tags without a message, stand before it."""
    foreign: dict[Any, Any] = {f"f{number}": json.dumps([{}, "", "other"]) for number in range(FOREIGN)}
    store.hset("unacked", mapping={**foreign, "ours": json.dumps([{"body": "x"}, "", "celery"])})
    store.zadd("unacked_index", {**dict.fromkeys(foreign, 1), "gone": 1, "ours": 2})
    start = 0
    for _ in range(FOREIGN // 1000 + 1):
        start = unprefixed.restore(store, older_than_s=0, to="{closer}:celery", start=start)
    assert store.lrange("{closer}:celery", 0, -1) == [json.dumps({"body": "x"}).encode()]
    assert (store.hlen("unacked"), store.hexists("unacked", "ours")) == (FOREIGN, False)
    assert start == 0


def test_none_is_skipped_when_others_leave(store: redis.Redis) -> None:
    """Each of ours is found, although those that were found before are no longer counted."""
    ours: dict[Any, Any] = {f"{number:04d}": json.dumps([{"body": number}, "", "celery"]) for number in range(FOREIGN)}
    store.hset("unacked", mapping=ours)
    store.zadd("unacked_index", dict.fromkeys(ours, 1))
    start = 0
    for _ in range(FOREIGN // 1000 + 1):
        start = unprefixed.restore(store, older_than_s=0, to="{closer}:celery", start=start)
    assert (store.llen("{closer}:celery"), store.exists("unacked", "unacked_index")) == (FOREIGN, 0)
