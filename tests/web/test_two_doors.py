"""The HTTP door and the stream make the same of the same bytes, whatever they are."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import redis
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from redis.asyncio import Redis

from tests.fuzz.strategies import FIELDS, batches, bodies, mutated_events, references, texts, valid_events
from tests.support import STREAM, cloud_event
from tests.web.conftest import Console
from tests.web.taking import facts, take_in

HEADERS = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for all examples."""
    with asyncio.Runner() as runner:
        yield runner


async def by_stream(url: str, fields: dict[str, bytes]) -> dict[str, Any]:
    """What comes of it by XADD, in a store of its own."""
    async with Redis.from_url(url, db=1) as other:
        await other.flushdb()
        await other.xadd(STREAM, dict(fields.items()))
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
    compare(running, loop, answer, {"event": body})


def compare(running: Console, loop: asyncio.Runner, answer: httpx.Response, fields: dict[str, bytes]) -> None:
    """Fails when the ledgers differ, or when what is told of a refusal is not what is kept with the entry."""
    here = loop.run(by_http(running.store_url))
    there = loop.run(by_stream(running.store_url, fields))
    letters = there.pop("letters")
    if answer.status_code == 202:
        assert here == there
        assert answer.json()["accepted"] + answer.json()["rejected"] == len(answer.json()["ids"])
        assert answer.json()["rejected"] == sum(letter.times for letter in letters)
    else:
        assert here == {"closures": [], "rejected": []}
        problems = {problem for letter in letters for problem in letter.problems}
        assert problems, "the stream has taken what the door refused"
        if "errors" in answer.json():
            assert told(answer) <= problems
        else:
            assert answer.status_code == 400
            words = answer.json()["detail"].removeprefix("the body is ")
            assert any(words in problem for problem in problems)


ATTRIBUTES = [*(name for name in FIELDS if name.islower()), "closeafter", "partitionkey"]
GOOD = {"specversion": "1.0", "id": "7", "source": "wms", "type": "group.complete"}


def encodable(text: str) -> bool:
    """Whether a header and the store can hold it; half a character has no bytes in UTF-8."""
    return text == text.encode("utf-8", "replace").decode()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(
    good=st.sets(st.sampled_from(sorted(GOOD)), min_size=3),
    more=st.dictionaries(st.sampled_from(ATTRIBUTES), texts.filter(encodable), max_size=2),
    data=references.map(lambda reference: json.dumps({"reference": reference}).encode()) | st.binary(max_size=50),
)
@example(good=set(GOOD), more={}, data=b'{"reference": "sg_1"}')
@example(good=set(GOOD), more={"subject": "sg_1"}, data=b"")
@example(good=set(GOOD), more={"id": ' "a\\b" %41 ', "type": "order.created"}, data=b"\xff")
@example(good=set(GOOD), more={"data": "x"}, data=b'{"reference": "sg_1"}')
def test_the_same_attributes(
    running: Console, loop: asyncio.Runner, store: redis.Redis, good: set[str], more: dict[str, str], data: bytes
) -> None:
    """In binary mode headers ce-… mean what the fields ce_… mean."""
    store.flushall()
    attributes = {name: GOOD[name] for name in good} | more
    headers = {f"ce-{name}": quote(value, safe="") for name, value in attributes.items()}
    answer = running.client.post("/v1/events", content=data, headers=headers)
    fields = {f"ce_{name}": value.encode() for name, value in attributes.items()} | ({"data": data} if data else {})
    compare(running, loop, answer, fields)
