"""Cancel events over HTTP: they are taken by the fleet's types, and a bound token sends only its own."""

from __future__ import annotations

from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.closure import State
from tasks.ledger.policy import FleetPolicy
from tests.support import STREAM, cloud_event, key_of
from tests.web.conftest import Console, give, kind, signed
from tests.web.taking import take_in

POLICY: dict[Any, Any] = dict(FleetPolicy(1000.0, 0.0, STREAM, "", 0.0, "group.cancelled").as_fields())
JSON = {"content-type": "application/json"}


async def test_a_cancel_event(console: Console, store: redis.Redis, real: Redis) -> None:
    """It is accepted as a complete one is, and holds its group."""
    store.hset(key_of("policy"), mapping=POLICY)
    events = f"[{cloud_event('sg_1')}, {cloud_event('sg_1', '2', type='group.cancelled')}]"
    answer = console.client.post("/v1/events", content=events, headers=JSON | signed(give(store, "one")))
    assert (answer.status_code, answer.json()["accepted"], answer.json()["ids"]) == (202, 2, ["1", "2"])
    [closure], _ = await take_in(real)
    assert closure.state is State.HELD


@pytest.mark.parametrize("scope", [{"sources": ["other"]}, {"prefixes": ["LDS-"]}])
def test_a_bound_token(console: Console, store: redis.Redis, scope: dict[str, list[str]]) -> None:
    """It holds no group of others."""
    store.hset(key_of("policy"), mapping=POLICY)
    token = give(store, "leeds", "emitter", **scope)
    event = cloud_event("sg_1", type="group.cancelled")
    answer = console.client.post("/v1/events", content=event, headers=JSON | signed(token))
    assert (answer.status_code, kind(answer)) == (403, "out-of-scope")
    assert store.xlen(STREAM) == 0
