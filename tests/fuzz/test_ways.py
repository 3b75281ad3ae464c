"""Fuzz tests of whole ways: an event into the ledger and out again, replies over the wire into a decision."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.api.client import SortedApi
from tasks.attempt import Attempter
from tasks.closure import State
from tasks.events.event import GroupComplete, parse
from tasks.events.event_type import EventTypes
from tasks.ledger.codec import settlement_argument, unpack_attempt
from tasks.ledger.ledger import Ledger
from tasks.ledger.values import Claim, Received, Settlement
from tasks.retry import Policy
from tests.fake_store import FakeStore
from tests.fuzz.strategies import REF, RawReply, mutated_events, replies

# fakeredis takes longer for an event than everything else here for ten.
STORED = min(settings.default.max_examples, 5_000) if settings.default else 100
CLAIM = Claim(REF, 1, 0, 0, remaining_s=86_400.0, wait_s=0.0, at_ms=1_000)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.Runner]:
    """One loop for all examples."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def fake(loop: asyncio.Runner) -> Iterator[FakeStore]:
    """One store for all examples."""
    store = FakeStore()
    yield store
    loop.run(store.aclose())


async def _stored(store: FakeStore, event: GroupComplete) -> None:
    await store.flushall()
    ledger = Ledger(store, clock=lambda: 1_000_000_000_000)
    assert await ledger.receive([event]) == [Received.NEW]
    assert await ledger.receive([event]) == [Received.DUPLICATE]
    [closure] = await ledger.read([event.reference])
    assert closure is not None
    kept = (closure.reference, closure.source, closure.event_id, closure.custom_reference, closure.event_time,
            closure.traceparent)  # fmt: skip
    assert kept == (event.reference, event.source, event.event_id, event.custom_reference, event.time,
                    event.traceparent)  # fmt: skip


@settings(max_examples=STORED)
@given(body=mutated_events)
@example(body=b'{"reference":"sg_1","custom_reference":"\\u2028\\uffff\\ud83d\\ude00 \\\\ \\" /"}')
def test_accepted_events_are_storable(loop: asyncio.Runner, fake: FakeStore, body: bytes) -> None:
    """What `parse` accepts, the ledger takes and gives back unchanged; 5,000 events at most: each is stored."""
    event = parse(body, source="stream", event_id="1-0", types=EventTypes())
    if isinstance(event, GroupComplete):
        loop.run(_stored(fake, event))


class Wire(httpx.AsyncBaseTransport):
    """Gives these replies in turn, over and over, and keeps which of them answered a close, and which a question."""

    def __init__(self, replies: list[RawReply]) -> None:
        self._replies = replies
        self.given: list[tuple[str, RawReply]] = []

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """The next reply."""
        reply = self._replies[len(self.given) % len(self._replies)]
        self.given.append((request.url.path.rpartition("/")[2], reply))
        return httpx.Response(reply.status, headers=reply.headers, stream=httpx.ByteStream(reply.content))


@pytest.fixture(scope="module")
def api(loop: asyncio.Runner) -> Iterator[SortedApi]:
    """One client for all examples; it takes longer to make than to use."""
    client = SortedApi(base_url="https://api.test", key=SecretStr("key"), version="1.1", timeout_s=60.0, connections=1)
    yield client
    loop.run(client.aclose())


async def _settled(api: SortedApi, wire: Wire, seed: int) -> Settlement:
    api._transport = wire  # type: ignore[assignment]
    dice = random.Random(seed)
    attempter = Attempter(
        api, Policy(0.5, 900.0), worker="w", budget_s=60.0, lock_if_needed=bool(seed % 2), uniform=dice.uniform
    )
    return (await attempter.attempt(CLAIM)).settlement


def _proves_closed(asked: str, reply: RawReply) -> bool:
    """Whether anybody may believe that the group is closed; read from the bytes, in other ways than the worker's."""
    if reply.status == 304:
        return asked == "close"
    try:
        body = json.loads(reply.content.decode(json.detect_encoding(reply.content), "replace"))
    except ValueError:
        return False
    if reply.status != 200 or not isinstance(body, dict):
        return False
    state = str(body.get("state") or "").lower()
    return body.get("reference") == REF and (state == "closed" or (asked == "close" and not state))


def _named(reference: Any) -> RawReply:
    return RawReply(200, json.dumps({"reference": reference}).encode(), [], 0.0)


@given(script=st.lists(replies, min_size=1, max_size=2), seed=st.integers(0, 9))
@example(script=[_named(REF)], seed=0)
@example(script=[_named("sg_2"), _named("sg_2")], seed=1)
@example(script=[RawReply(200, b"[" * 100_000, [], 0.0)], seed=0)
@example(script=[RawReply(200, b'{"x":' + b"9" * 5000 + b"}", [], 0.0)], seed=0)
@example(script=[RawReply(429, b"", [(b"Retry-After", b"7")], 7.0)], seed=0)
def test_replies(loop: asyncio.Runner, api: SortedApi, script: list[RawReply], seed: int) -> None:
    """No reply breaks an attempt, none is taken for closed without proof, and no wait that one tells is undercut."""
    wire = Wire(script)
    settlement = loop.run(_settled(api, wire, seed))
    assert settlement.packed is not None
    json.loads(settlement_argument(settlement))
    attempt = unpack_attempt(settlement.packed)
    assert not attempt.detail.startswith("closer's own error"), attempt
    if settlement.to is State.CLOSED:
        assert any(_proves_closed(*given) for given in wire.given), wire.given
    if settlement.to is State.RETRYING:
        assert settlement.delay_s >= max(reply.told_s for _, reply in wire.given)
