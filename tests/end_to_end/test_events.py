"""Events and tasks of every kind, to one running worker: received once, put aside, queued again, never in the way."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import redis
from celery import Celery

from tasks.closure import Closure
from tasks.task_message import TASK_NAME
from tests.end_to_end.fleet import SETTINGS, closures, own_store
from tests.support import API_KEY, STREAM, Process, cloud_event, key_of, until
from worker.simulator.server import Simulator, run_in_thread


@dataclass(frozen=True, slots=True)
class Fleet:
    """A running worker, its store, and the simulated API that it calls."""

    url: str
    store: redis.Redis
    simulator: Simulator
    worker: Process
    data: Path

    def publish(self, event: str) -> None:
        """Put one event on the stream."""
        self.store.xadd(STREAM, {"event": event})

    def wait(self, reference: str, state: str) -> Closure:
        """The closure, once it is in that state and its event is off the stream."""

        def there() -> bool:
            assert self.worker.process.poll() is None, self.worker.output
            return self.store.zscore(key_of(state), reference) is not None and not self.store.xlen(STREAM)

        until(there, f"{reference} {state}")
        return closures(self.url, [reference])[reference]

    def calls(self, reference: str) -> int:
        """How many calls came for this group."""
        return self.simulator.records()[reference].calls

    def rejected(self) -> list[dict[bytes, bytes]]:
        """What was put aside, oldest first."""
        entries: Any = self.store.xrange(key_of("rejected"))
        return [fields for _, fields in entries]


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """One worker for all tests here, with everything logged; each test has groups of its own."""
    data = tmp_path_factory.mktemp("store")
    given: dict[str, Any] = {**SETTINGS, "log_level": "debug"}
    with (
        own_store(data) as (url, store),
        run_in_thread(Simulator(api_key=API_KEY)) as (base_url, simulator),
        Process(tmp_path_factory.mktemp("log"), "worker", redis_url=url, api_base_url=base_url, **given) as worker,
    ):
        yield Fleet(url, store, simulator, worker, data)
        assert worker.stop() == 0, worker.output


@contextmanager
def stranger(fleet: Fleet) -> Iterator[Celery]:
    """A program of someone else's: Celery, the broker's address, and nothing of ours."""
    with Celery("stranger", broker=fleet.url, set_as_current=False) as app:
        yield app


def test_duplicates_cost_no_call(fleet: Fleet) -> None:
    """The same event again, and another event for a closed group, change nothing and call nobody."""
    fleet.publish(cloud_event("dup", "1"))
    first = fleet.wait("dup", "closed")
    for event_id in ("1", "2", "2"):
        fleet.publish(cloud_event("dup", event_id))
    fleet.publish(json.dumps({"reference": "dup"}))
    fleet.publish(cloud_event("after-dup"))
    fleet.wait("after-dup", "closed")
    assert fleet.wait("dup", "closed") == first
    assert fleet.calls("dup") == 1


def test_many_events_for_one_group_at_once_are_one_call(fleet: Fleet) -> None:
    """A hundred events for one group, all there before it is closed, close it with one call."""
    with fleet.store.pipeline(transaction=True) as pipe:
        for number in range(100):
            pipe.xadd(STREAM, {"event": cloud_event("burst", str(number))})
        pipe.execute()
    closure = fleet.wait("burst", "closed")
    assert (fleet.calls("burst"), closure.attempts, closure.event_id) == (1, 1, "0")


def test_a_new_event_queues_a_failed_closure_again(fleet: Fleet) -> None:
    """A group that failed is tried again for a new event, not for the old one, and keeps its history."""
    fleet.simulator.groups.add("again", "open")
    fleet.publish(cloud_event("again", "1"))
    assert fleet.wait("again", "failed").reason == "not_locked"
    calls = fleet.calls("again")
    fleet.publish(cloud_event("again", "1"))
    fleet.publish(cloud_event("after-again"))
    fleet.wait("after-again", "closed")
    assert fleet.wait("again", "failed").attempts == 1
    assert fleet.calls("again") == calls
    fleet.simulator.records()["again"].state = "locked"
    fleet.publish(cloud_event("again", "2"))
    closure = fleet.wait("again", "closed")
    assert ([attempt.status for attempt in closure.history], closure.reason) == ([409, 200], None)


def test_bare_events_and_subjects_name_a_group(fleet: Fleet) -> None:
    """`{"reference": …}` alone, and a CloudEvent that names the group in its subject, are events as well."""
    fleet.publish('{"reference": "bare", "custom_reference": "CarrierX-PM"}')
    fleet.publish(cloud_event("", subject="by-subject", data=None))
    bare, subject = fleet.wait("bare", "closed"), fleet.wait("by-subject", "closed")
    assert (bare.source, bare.custom_reference) == (STREAM, "CarrierX-PM")
    assert (subject.source, subject.event_id) == ("wms", "1")


def test_an_event_of_another_type_closes_nothing(fleet: Fleet) -> None:
    """A cancelled order is put aside, its group is never called, and the first of its type is told in the log."""
    fleet.publish(cloud_event("cancelled", type="order.cancelled"))
    fleet.publish('{"reference": "cancelled", "event": "order.cancelled"}')
    fleet.publish(cloud_event("after-cancelled"))
    fleet.wait("after-cancelled", "closed")
    assert closures(fleet.url, ["cancelled"]) == {}
    kept = [fields for fields in fleet.rejected() if fields.get(b"type") == b"order.cancelled"]
    assert len(kept) == 2
    assert fleet.worker.output.count("events of type order.cancelled are not taken for complete") == 1


def test_data_that_name_no_group_do_not_close_the_subject(fleet: Fleet) -> None:
    """The data name the group, in whatever form; where they name none, nothing is closed."""
    fleet.publish(cloud_event("", "w1", subject="leeds-1", data='{"reference":"in-a-string"}'))
    fleet.publish(cloud_event("", "w2", subject="leeds-1", data={"groupReference": "sg_1"}))
    fleet.wait("in-a-string", "closed")
    fleet.publish(cloud_event("after-leeds"))
    fleet.wait("after-leeds", "closed")
    assert closures(fleet.url, ["leeds-1"]) == {}


def test_a_bare_event_with_an_identity_counts_once(fleet: Fleet) -> None:
    """Sent three times after its group has failed, it changes nothing: it is the same event."""
    event = {"reference": "bare-once", "id": "1", "source": "wms"}
    fleet.simulator.groups.add("bare-once", "open")
    fleet.publish(json.dumps(event))
    fleet.wait("bare-once", "failed")
    calls = fleet.calls("bare-once")
    for _ in range(3):
        fleet.publish(json.dumps(event))
    fleet.publish(cloud_event("after-bare-once"))
    fleet.wait("after-bare-once", "closed")
    assert fleet.calls("bare-once") == calls
    fleet.publish(json.dumps(event | {"id": "2"}))
    until(lambda: fleet.calls("bare-once") > calls, "another event is another try")


def test_garbage_is_put_aside_and_blocks_nothing(fleet: Fleet) -> None:
    """What is not an event is kept with its bytes and the reason; events before and after it are handled."""
    garbage = [b"\xff\xfe", b"not json", b'{"reference": "../admin"}', b"[]", b'{"specversion": "1.0"}', b"x" * 70_000]
    before = len(fleet.rejected())
    fleet.publish(cloud_event("before-garbage"))
    for body in garbage:
        fleet.store.xadd(STREAM, {"event": body})
    fleet.store.xadd(STREAM, {"other": "field"})
    fleet.publish(cloud_event("behind-garbage"))
    fleet.wait("before-garbage", "closed")
    fleet.wait("behind-garbage", "closed")
    kept = fleet.rejected()[before:]
    assert [fields[b"event"] for fields in kept] == [*garbage, b'{"other": "field"}']
    assert all(json.loads(fields[b"problems"]) for fields in kept)
    assert b"reference" in kept[2][b"problems"]


@pytest.mark.parametrize(
    ("args", "kwargs", "references"),
    [
        ([["foreign-1", "foreign-2", "foreign-1"]], {}, ["foreign-1", "foreign-2"]),
        (["foreign-alone"], {}, ["foreign-alone"]),
        ([], {"references": ["foreign-named"]}, ["foreign-named"]),
        ([["foreign-good", "no/reference", 7]], {}, ["foreign-good"]),
    ],
)
def test_a_foreign_celery_program_has_groups_closed(
    fleet: Fleet, args: list[Any], kwargs: dict[str, Any], references: list[str]
) -> None:
    """Any Celery program may name groups to the task: unknown ones are received first, then closed, once."""
    with stranger(fleet) as app:
        task_id = app.send_task(TASK_NAME, args=args, kwargs=kwargs).id
    for reference in references:
        closure = fleet.wait(reference, "closed")
        assert (closure.source, closure.event_id, fleet.calls(reference)) == ("celery", task_id, 1)


@pytest.mark.parametrize(
    ("args", "kwargs", "kept"),
    [
        ([42], {}, 42),
        ([["bad ref!"]], {}, "bad ref!"),
        ([None], {}, None),
        ([], {}, {"args": [], "kwargs": {}}),
        (["a", "b"], {"c": 1}, {"args": ["a", "b"], "kwargs": {"c": 1}}),
    ],
)
def test_garbage_in_a_task_is_put_aside(fleet: Fleet, args: list[Any], kwargs: dict[str, Any], kept: object) -> None:
    """Arguments that name no group are kept as rejected, with the task's id; the worker goes on."""
    with stranger(fleet) as app:
        task_id = app.send_task(TASK_NAME, args=args, kwargs=kwargs).id
    origin = f"task {task_id}".encode()

    def mine() -> list[bytes]:
        return [fields[b"event"] for fields in fleet.rejected() if fields[b"origin"] == origin]

    assert [json.loads(body) for body in until(mine, "a rejected task")] == [kept]
    assert fleet.worker.process.poll() is None


def test_the_api_key_is_nowhere(fleet: Fleet) -> None:
    """Neither a log at its most talkative, nor a value in the store, nor a message ever sent holds the key."""
    fleet.simulator.groups.add("secret-gone", fault="gone")
    fleet.publish(cloud_event("secret-gone"))
    fleet.wait("secret-gone", "failed")
    until(lambda: "secret-gone" in fleet.worker.output, "its line in the log, which may come later")
    fleet.store.config_set("rdbcompression", "no")  # DUMP would hide words in compressed strings
    dumps = b"".join(bytes(fleet.store.dump(key) or b"") + bytes(key) for key in fleet.store.scan_iter(count=1000))
    written = b"".join(path.read_bytes() for path in fleet.data.rglob("*.aof"))
    bodies = b"".join(_decoded(written))
    seen = {"log": fleet.worker.output.encode(), "store": dumps, "ever written": written, "messages": bodies}
    assert {name: b"secret-gone" in text for name, text in seen.items()} == dict.fromkeys(seen, True)
    assert {name: API_KEY.encode() in text for name, text in seen.items()} == dict.fromkeys(seen, False)


def _decoded(written: bytes) -> Iterator[bytes]:
    """The bodies of the Celery messages in an append-only file."""
    for body in re.findall(rb'"body": "([A-Za-z0-9+/=]+)"', written):
        yield base64.b64decode(body)
