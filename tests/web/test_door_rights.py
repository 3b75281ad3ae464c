"""Who may post which events, and what the fleet's policy and gate say about it."""

from __future__ import annotations

import json

import pytest
import redis
from redis.asyncio import Redis

from tests.support import STREAM, cloud_event, run
from tests.web.conftest import Console, give, kind
from tests.web.sending import BATCH, EVENT, on_stream, send
from tests.web.taking import take_in


@pytest.mark.parametrize(("role", "status"), [("emitter", 202), ("viewer", 403), ("operator", 403), ("admin", 202)])
def test_who_may_send(console: Console, store: redis.Redis, role: str, status: int) -> None:
    """An emitter and an admin may; nobody may without a token when there is one."""
    assert send(console, EVENT, token=give(store, "one", role)).status_code == status
    assert send(console, EVENT).status_code == 401


SCOPES: list[tuple[dict[str, list[str]], str, bool]] = [
    ({"sources": ["wms"]}, cloud_event("sg_1"), True),
    ({"sources": ["wms"]}, cloud_event("sg_1", source="other"), False),
    ({"sources": ["wms"]}, '{"reference": "sg_1"}', False),
    ({"sources": ["wms"]}, '{"reference": "sg_1", "id": "1", "source": "wms"}', True),
    ({"prefixes": ["sg_"]}, '{"reference": "sg_1"}', True),
    ({"prefixes": ["LDS-"]}, cloud_event("sg_1"), False),
    ({"prefixes": ["LDS-"]}, cloud_event("sg_1", type="order.created"), False),
    ({"prefixes": ["LDS-"]}, cloud_event("x", type="order.created", data={"a": 1}, subject="sg_1"), False),
    ({"prefixes": ["LDS-"]}, cloud_event("x", type="order.created", data={"a": 1}), True),
    ({"prefixes": ["sg_"]}, f"[{cloud_event('sg_1')}, {cloud_event('LDS-1')}]", False),
]


@pytest.mark.parametrize(("scope", "event", "taken"), SCOPES)
def test_a_bound_token(
    console: Console, store: redis.Redis, scope: dict[str, list[str]], event: str, taken: bool
) -> None:
    """It sends events of its own source and references only, also those that an operator may replay later."""
    answer = send(console, event, {"content-type": "application/json"}, give(store, "leeds", "emitter", **scope))
    assert len(on_stream(store)) == (1 if taken else 0)
    if taken:
        assert answer.status_code == 202
    else:
        assert (answer.status_code, kind(answer)) == (403, "out-of-scope")
        assert answer.json()["index"] == (1 if event.startswith("[") else 0)


def test_the_fleet_says_what_closes_and_where(console: Console, store: redis.Redis) -> None:
    """The stream and the types are those of the fleet's policy, whatever the console is set to."""
    store.hset("{closer}:policy", mapping={
        "deadline_ms": 1000, "pause_ms": 0, "stream": "other", "event_types": "order.created",
    })  # fmt: skip
    answer = send(console, json.dumps([json.loads(EVENT), json.loads(cloud_event("sg_2", type="order.created"))]),
                  {"content-type": BATCH})  # fmt: skip
    assert (answer.json()["accepted"], answer.json()["rejected"]) == (1, 1)
    assert (store.xlen("other"), store.xlen(STREAM)) == (1, 0)


async def test_a_shut_gate_takes_events(console: Console, real: Redis) -> None:
    """Events are taken while no calls are made."""
    assert run("pause", "--why", "x", redis_url=console.store_url, operator="olga").returncode == 0
    assert send(console, EVENT).status_code == 202
    closures, _ = await take_in(real)
    assert len(closures) == 1
