"""The door while the store takes nothing, while a body does not come, and while many send at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.ledger.ledger import Ledger
from tests.support import STREAM, url_of, valkey
from tests.web.conftest import Console, kind
from tests.web.sending import EVENT, ONE, send
from tests.web.test_process import inside
from worker.operations import accept as accepting
from worker.operations.accept import Accept
from worker.settings import load
from worker.web import body
from worker.web.access import ANYBODY


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Console, redis.Redis]]:
    """A console on a store of its own, which can be made ill."""
    folder = tmp_path_factory.mktemp("sick")
    with (
        valkey(folder) as server,
        redis.Redis.from_url(url_of(server)) as control,
        Console(folder, url_of(server)) as console,
    ):
        yield console, control


def test_a_store_that_takes_nothing(sick: tuple[Console, redis.Redis]) -> None:
    """Full, or a replica: 503 with a time to come again. When it is well, the same event is taken."""
    console, control = sick
    control.config_set("maxmemory", 1)
    full = send(console, EVENT)
    control.config_set("maxmemory", 0)
    control.replicaof("127.0.0.1", "1")
    replica = send(console, EVENT)
    control.replicaof("NO", "ONE")
    for answer, words in ((full, "out of memory"), (replica, "read-only")):
        assert (answer.status_code, kind(answer)) == (503, "store-away")
        assert words in answer.json()["detail"]
        assert answer.headers["retry-after"] == "5"
    assert control.xlen(STREAM) == 0
    assert send(console, EVENT).status_code == 202


def test_a_key_that_is_not_a_stream(console: Console, store: redis.Redis) -> None:
    """Sending again does not help, and the message says where to look."""
    store.set(STREAM, "not ours")
    answer = send(console, EVENT)
    assert (answer.status_code, kind(answer)) == (500, "store-broken")


async def test_a_body_that_does_not_come(real: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """A sender that says nothing more is told, and one that has gone does no harm."""
    monkeypatch.setattr(body, "BODY_S", 0.1)
    head = (
        f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {ONE}\r\ncontent-length: 99\r\n\r\n{{".encode()
    )
    async with inside(real) as port, asyncio.timeout(20):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 408")
        writer.close()
        monkeypatch.setattr(body, "BODY_S", 10)
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head)
        await writer.drain()
        writer.close()


async def test_many_at_once_go_in_steps(real: Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each sender gets the id of its own event, in whichever step it went, also while the fleet's stream changes."""
    monkeypatch.setattr(accepting, "_STEP_BYTES", 100)
    accept = Accept(Ledger(real), load())
    events = [f'{{"reference": "sg_{number}"}}'.encode() for number in range(20)]
    taken = await asyncio.gather(*(accept(ANYBODY, event) for event in events))
    found: Any = await real.xrange(STREAM)
    entries = dict(found)
    assert [entries[one.ids[0].encode()][b"event"] for one in taken] == events
    await accept._append([("one", events[0]), ("other", events[1]), ("one", events[2])])
    assert [await real.xlen(name) for name in ("one", "other")] == [2, 1]
