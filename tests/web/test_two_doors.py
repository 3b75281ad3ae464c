"""The HTTP door and the stream make the same of the same bytes, whatever they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from redis.asyncio import Redis

from tests.fuzz.strategies import batches, bodies, mutated_events, valid_events
from tests.support import STREAM, cloud_event
from tests.web.conftest import Console
from tests.web.taking import facts, take_in

HEADERS = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for all examples."""
    with asyncio.Runner() as runner:
        yield runner


async def by_stream(url: str, body: bytes) -> dict[str, Any]:
    """What comes of it by XADD, in a store of its own."""
    async with Redis.from_url(url, db=1) as other:
        await other.flushdb()
        await other.xadd(STREAM, {"event": body})
        closures, letters = await take_in(other)
        return facts(closures, letters) | {"letters": letters}


async def by_http(url: str) -> dict[str, Any]:
    """What comes of what the door has put on the stream."""
    async with Redis.from_url(url) as here:
        return facts(*await take_in(here))


def told(answer: httpx.Response) -> set[str]:
    """What a refusal says is wrong."""
    return {f"{one['field']}: {one['problem']}" for one in answer.json()["errors"]}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(body=mutated_events | bodies | batches | valid_events.map(lambda event: json.dumps(event).encode()))
@example(body=b'[{"reference": "sg_1"}, {"reference": "sg_1"}, 5]')
@example(body=b"[" + cloud_event("sg_1").encode() + b", " + cloud_event("sg_2", type="order.created").encode() + b"]")
@example(body=b"\xef\xbb\xbf" + cloud_event("sg_1").encode())
@example(body=b"[]")
@example(body=b"")
def test_the_same_bytes(running: Console, loop: asyncio.Runner, store: redis.Redis, body: bytes) -> None:
    """What is taken becomes the same closures and rejections. What is refused leaves nothing, and the same is told."""
    store.flushall()
    answer = running.client.post("/v1/events", content=body, headers=HEADERS)
    here = loop.run(by_http(running.store_url))
    there = loop.run(by_stream(running.store_url, body))
    letters = there.pop("letters")
    if answer.status_code == 202:
        assert here == there
        assert answer.json()["accepted"] + answer.json()["rejected"] == len(answer.json()["ids"])
        assert answer.json()["rejected"] == sum(letter.times for letter in letters)
    else:
        assert here == {"closures": [], "rejected": []}
        problems = {problem for letter in letters for problem in letter.problems}
        assert problems, "the stream has taken what the door refused"
        if answer.status_code == 422:
            assert told(answer) <= problems
        else:
            assert answer.status_code == 400
            words = answer.json()["detail"].removeprefix("the body is ")
            assert any(words in problem for problem in problems)
