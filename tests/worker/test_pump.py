"""The pump works for any source: it acknowledges by the source's own tags, and only what the ledger has or keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest
import redis as sync_redis
from redis.asyncio import Redis

from tasks.errors import LedgerBroken
from tasks.events import batch
from tasks.events.event_type import EventTypes
from tasks.ledger.ledger import Ledger
from tests.support import cloud_event, count, key_of
from worker.intake.fleet_types import FleetTypes
from worker.intake.pump import Pump
from worker.intake.source import Delivery

QUEUE = {7: cloud_event("sg_1", "e1").encode(), 9: b"junk", 11: f"[{cloud_event('sg_2', 'e2')}, 5]".encode()}


class QueueSource:
    """A source of another kind: a queue whose messages have numbers."""

    def __init__(self, messages: dict[int, bytes]) -> None:
        self.messages = dict(messages)
        self.asked: list[int] = []

    async def read(self, limit: int) -> list[Delivery]:
        """The oldest messages."""
        self.asked.append(limit)
        chosen = list(self.messages.items())[:limit]
        return [Delivery(tag, len(body), partial(self._elements, tag, body)) for tag, body in chosen]

    async def ack(self, deliveries: Sequence[Delivery]) -> None:
        """Forget them."""
        for delivery in deliveries:
            del self.messages[delivery.tag]

    def _elements(self, tag: int, body: bytes) -> list[batch.Element]:
        return batch.read(body, source="queue", event_id=str(tag), types=EventTypes())


def pump_of(source: QueueSource, redis: Redis, received: Callable[[], None] = lambda: None) -> Pump:
    """A pump from this source into the ledger."""
    ledger = Ledger(redis)
    return Pump(source, ledger, FleetTypes(ledger.policy, EventTypes()), received)


async def test_another_source(real: Redis, store: sync_redis.Redis) -> None:
    """Each event of each message is received or kept; then all messages are acknowledged, and the sweep is told."""
    source, told = QueueSource(QUEUE), list[str]()
    await pump_of(source, real, lambda: told.append("received")).step()
    assert source.messages == {}
    assert (count(store, "queued"), told) == (2, ["received"])
    rejected: Any = store.xrange(key_of("rejected"))
    assert [fields[b"origin"] for _, fields in rejected] == [b"9", b"11/1"]


async def test_what_is_rejected_is_kept_in_one_step(real: Redis) -> None:
    """However many events of a portion are wrong, one script keeps them, so good events are not held up."""
    for _ in range(2):  # the first round loads the script
        await real.config_resetstat()
        source = QueueSource({tag: b"junk %d" % tag for tag in range(50)})
        await pump_of(source, real).step()
    assert await real.xlen(key_of("rejected")) == 50
    stats = await real.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] == 1


async def test_nothing_is_acknowledged_that_the_ledger_has_not(real: Redis, store: sync_redis.Redis) -> None:
    """While the ledger can take nothing all messages stay with the source; later each is taken in once."""
    source = QueueSource(QUEUE)
    pump = pump_of(source, real)
    store.set(key_of("agenda"), "not ours")
    with pytest.raises(LedgerBroken):
        await pump.step()
    assert source.messages == QUEUE
    store.delete(key_of("agenda"))
    store.set(key_of("rejected"), "not ours")
    with pytest.raises(LedgerBroken):
        await pump.step()
    assert source.messages == QUEUE
    store.delete(key_of("rejected"))
    await pump.step()
    assert source.messages == {}
    assert (count(store, "queued"), store.xlen(key_of("rejected"))) == (2, 2)


async def test_large_messages_are_read_a_few_at_a_time(real: Redis) -> None:
    """After messages of a mebibyte each, only so many are asked for as fit into 16 MiB."""
    source = QueueSource(dict.fromkeys(range(3), b" " * 1024 * 1024))
    pump = pump_of(source, real)
    await pump.step()
    await pump.step()
    assert source.asked == [50, 16]
