"""Hostile input to a running worker: messages that hold code or cannot be read, and names that forge log lines."""

from __future__ import annotations

import bz2
import json
import lzma
import os
import pickle
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.end_to_end.fleet import SETTINGS, own_store
from tests.end_to_end.hostile import QUEUE, Fleet, changed, message, nested, without
from tests.faults.inside import planted
from tests.support import STREAM, Process, cloud_event, key_of, until
from worker.simulator.server import Simulator, run_in_thread


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("kind", ["application/x-python-serialize", "application/x-yaml", "application/data", "x/y"])
def test_only_json_is_read(fleet: Fleet, tmp_path: Path, kind: str) -> None:
    """A task message that is pickle, YAML or unknown content is kept unread: its code is not run, work goes on."""
    sprung = tmp_path / "sprung"
    code = f"!!python/object/apply:os.mkdir ['{sprung}']\n"
    body = pickle.dumps(((Bomb(sprung),), {}, {})) if kind.endswith("serialize") else code.encode()
    fleet.store.lpush(QUEUE, message(body, kind))
    kept, problem = fleet.keeps(kind)
    assert kept == body
    assert "closer reads JSON" in problem
    fleet.still_works()
    assert not sprung.exists()
    until(lambda: "was put aside" in fleet.worker.output, "a word about it")


def body(reference: str, *rest: Any) -> bytes:
    """A message's body that names one group."""
    return json.dumps([[[reference]], *rest]).encode()


def packed(reference: str, pack: Callable[[bytes], bytes], name: str) -> str:
    """A message that names a group, compressed as Celery does it."""
    return changed("headers", pack(body(reference, {}, {})), compression=name)


LINK: dict[str, Any] = {
    "task": "foreign.task",
    "args": [],
    "kwargs": {},
    "options": {"queue": "foreign"},
    "subtask_type": None,
}
# Each is a message that names the group it is given, however odd the rest of it is.
NAMES: dict[str, Callable[[str], str]] = {
    "embed is a string": lambda ref: message(body(ref, {}, "x")),
    "embed is a list": lambda ref: message(body(ref, {}, [1])),
    "embed is a number": lambda ref: message(body(ref, {}, 5)),
    "no embed": lambda ref: message(body(ref, {})),
    "no keywords": lambda ref: message(body(ref)),
    "null keywords": lambda ref: message(body(ref, None, None)),
    "too many parts": lambda ref: message(body(ref, {}, {}, {})),
    "by name": lambda ref: message(json.dumps([[], {"references": [ref]}, {}]).encode()),
    "one string": lambda ref: message(json.dumps([[ref], {}, {}]).encode()),
    "numeric id": lambda ref: changed("headers", body(ref, {}, {}), id=5),
    "id is a list": lambda ref: changed("headers", body(ref, {}, {}), id=["x"]),
    "id is an object": lambda ref: changed("headers", body(ref, {}, {}), id={"x": 1}),
    "no id": lambda ref: changed("headers", body(ref, {}, {}), id=None),
    "expired": lambda ref: changed("headers", body(ref, {}, {}), expires="2020-01-01T00:00:00+00:00"),
    "odd expiry": lambda ref: changed("headers", body(ref, {}, {}), expires="yesterday"),
    "expiry is a list": lambda ref: changed("headers", body(ref, {}, {}), expires=[]),
    "eta in the past": lambda ref: changed("headers", body(ref, {}, {}), eta="2020-01-01T00:00:00Z"),
    "odd limits": lambda ref: changed("headers", body(ref, {}, {}), timelimit="x"),
    "limits": lambda ref: changed("headers", body(ref, {}, {}), timelimit=[0.001, 0.001]),
    "odd retries": lambda ref: changed("headers", body(ref, {}, {}), retries="x"),
    "stamps": lambda ref: changed("headers", body(ref, {}, {}), stamped_headers=["a"], stamps=5),
    "shadow": lambda ref: changed("headers", body(ref, {}, {}), shadow=["x"]),
    "group": lambda ref: changed("headers", body(ref, {}, {}), group="g", group_index=1, ignore_result=False),
    "no callbacks": lambda ref: message(body(ref, {}, {"callbacks": None, "chain": [], "chord": {}})),
    "embed overrides": lambda ref: message(body(ref, {}, {"id": 5, "delivery_info": None, "is_eager": True})),
    "version 1": lambda ref: without("headers", json.dumps(
        {"task": "tasks.close_groups", "id": 1, "args": [[ref]], "kwargs": {}, "expires": "2020-01-01"}).encode()),
    "no content type": lambda ref: without("content-type", body(ref, {}, {})),
    "odd encoding": lambda ref: message(body(ref, {}, {})).replace('"binary"', '"no-such-codec"'),
    "no tag": lambda ref: changed("properties", body(ref, {}, {}), delivery_tag=None),
    "tag is a list": lambda ref: changed("properties", body(ref, {}, {}), delivery_tag=[1]),
    "tag of another": lambda ref: changed("properties", body(ref, {}, {}), delivery_tag="x"),
    "no info": lambda ref: changed("properties", body(ref, {}, {}), delivery_info=None),
    "odd info": lambda ref: changed("properties", body(ref, {}, {}), delivery_info=[5]),
    "odd priority": lambda ref: changed("properties", body(ref, {}, {}), priority={"x": []}),
    "a bad one beside it": lambda ref: message(b'[[["' + ref.encode() + b'",' + nested(900) + b"]],{},{}]"),
    "gzip": lambda ref: packed(ref, zlib.compress, "application/x-gzip"),
    "bzip2": lambda ref: packed(ref, bz2.compress, "application/x-bz2"),
    "lzma": lambda ref: packed(ref, lzma.compress, "application/x-lzma"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NAMES)
def test_what_names_groups_is_received(fleet: Fleet, kind: str) -> None:
    """Whatever else is in a task message, the group that it names is closed, and it holds no slot afterwards."""
    references = [f"sg_{uuid4().hex}" for _ in range(5)]  # more than the slots of a worker
    for reference in references:
        fleet.store.lpush(QUEUE, NAMES[kind](reference))
    for reference in references:
        fleet.closes(reference)
    fleet.holds_nothing_back()
    assert not fleet.store.exists("foreign")  # no callback was run


FAR = "2999-01-01T00:00:00+00:00"
# Each is a message that holds the words it is given, and is not received.
KEPT: dict[str, Callable[[str], str | bytes]] = {
    "later": lambda ref: changed("headers", body(ref, {}, {}), eta=FAR),
    "odd eta": lambda ref: changed("headers", body(ref, {}, {}), eta="tomorrow"),
    "eta is a number": lambda ref: changed("headers", body(ref, {}, {}), eta=5),
    "callbacks": lambda ref: message(body(ref, {}, {"callbacks": [LINK], "errbacks": [LINK], "chain": [LINK]})),
    "chord": lambda ref: message(body(ref, {}, {"chord": LINK})),
    "odd callbacks": lambda ref: message(body(ref, {}, {"callbacks": 5, "chain": "x", "chord": []})),
    "cut": lambda ref: message(body(ref, {}, {})[:-1]),
    "not a list": lambda ref: message(json.dumps({"x": ref}).encode()),
    "wrong signature": lambda ref: message(json.dumps([[[ref], "more"], {}, {}]).encode()),
    "odd keywords": lambda ref: message(body(ref, "x", {})),
    "keywords more": lambda ref: message(body(ref, {"lock": True}, {})),
    "not a reference": lambda ref: message(body(f"{ref} x", {}, {})),
    "another task": lambda ref: message(body(ref, {}, {}), task="os.system"),
    "the task is a list": lambda ref: message(body(ref, {}, {}), task=["x"]),
    "no task": lambda ref: changed("headers", body(ref, {}, {}), task=None),
    "no headers": lambda ref: without("headers", body(ref, {}, {})),
    "pickle": lambda ref: message(pickle.dumps(((ref,), {}, {})), "application/x-python-serialize"),
    "not base64": lambda ref: json.dumps(json.loads(message(b"")) | {"body": f"%{ref}%"}),
    "body is an object": lambda ref: json.dumps(json.loads(message(b"")) | {"body": {"x": ref}}),
    "bad compression": lambda ref: changed("headers", id=ref, compression="application/x-gzip"),
    "unknown compression": lambda ref: changed("headers", id=ref, compression=["x"]),
    "an event": cloud_event,
    "a bare event": lambda ref: json.dumps({"reference": ref}),
    "a list": lambda ref: json.dumps([ref]),
    "a string": json.dumps,
    "not JSON": lambda ref: "{" + ref,
    "not text": lambda ref: b"\xff\x00" + ref.encode(),
    "odd types": lambda ref: json.dumps({"__type__": "uuid", "__value__": {ref: 1}}),
    "a huge number": lambda ref: f'{{"{ref}": {"9" * 5000}}}',
    "nested body": lambda ref: message(b'["' + ref.encode() + b'",' + nested(100_000) + b"]"),
    "nested argument": lambda ref: message(b'[["' + ref.encode() + b'",' + nested(900) + b"],{},{}]"),
    "nested envelope": lambda ref: b'["' + ref.encode() + b'",' + nested(100_000) + b"]",
    "nested headers": lambda ref: b'{"headers":' + nested(950) + b',"body":"' + ref.encode() + b'"}',
}


@pytest.mark.parametrize("kind", KEPT)
def test_what_is_not_received_is_kept(fleet: Fleet, kind: str) -> None:
    """A message that cannot be received is kept with its bytes and why; it stops nothing, and holds no slot."""
    marks = [f"sg_{uuid4().hex}" for _ in range(5)]
    for mark in marks:
        fleet.store.lpush(QUEUE, KEPT[kind](mark))
    for mark in marks:
        _, problem = fleet.keeps(mark)
        assert problem not in ("", "[]")
    fleet.still_works()
    fleet.holds_nothing_back()
    assert not any(fleet.store.zscore(key_of("closed"), mark) for mark in marks)
    assert not fleet.store.exists("foreign")  # no callback was run
    assert "Unrecoverable" not in fleet.worker.output


@pytest.mark.parametrize("raw", ["[]", "5", "null", '""', "{}", '{"body": "x"}', "\x00", " "])
def test_nothing_at_all(fleet: Fleet, raw: str) -> None:
    """A message without any content stops nothing either."""
    fleet.store.lpush(QUEUE, *[raw] * 5)
    fleet.still_works()
    fleet.holds_nothing_back()


def test_a_message_may_name_many_groups(fleet: Fleet) -> None:
    """However many groups a message names, each is closed; what is not a reference is kept beside them."""
    references = [f"many_{number}" for number in range(1_200)]
    fleet.store.lpush(QUEUE, message(json.dumps([[[*references, "a b", 1201.5]], {}, {}]).encode()))
    until(lambda: fleet.store.zscore(key_of("closed"), references[-1]) is not None, "the last one closed")
    until(lambda: all(fleet.store.zmscore(key_of("closed"), references)), "all closed")
    assert fleet.keeps('"a b"')[0] == b'"a b"'
    assert "references[1201]" in fleet.keeps("references[1201]")[1]


def test_huge_messages_are_bounded(fleet: Fleet) -> None:
    """Of 64 MiB that cannot be read the first MiB is kept; a body that unfolds to gigabytes is not unfolded."""
    bomb = zlib.compress(b"[" + b" " * 200_000_000 + b"]")
    fleet.store.lpush(QUEUE, b"huge" + b"\xff" * 64 * 1024 * 1024)
    fleet.store.lpush(QUEUE, changed("headers", bomb, compression="application/x-gzip"))
    kept, _ = fleet.keeps("the first 1048576 of its 67108868 bytes are kept")
    assert kept.startswith(b"huge")
    assert len(kept) == 1024 * 1024
    fleet.keeps("16777217 bytes, the limit is 16777216")
    fleet.still_works()
    fleet.holds_nothing_back()


def test_no_line_is_forged(fleet: Fleet) -> None:
    """Whatever references, ids and sources hold, they begin no line of the log, and no terminal obeys them."""
    forged = "x\n2026-01-01T00:00:00.000Z INFO attempt closure.attempted reference=sg_forged\x1b[2J\u2028y\r"
    fleet.store.xadd(STREAM, {"event": cloud_event(forged)})
    fleet.store.xadd(STREAM, {"event": cloud_event("sg_named", event_id=forged, source=forged)})
    fleet.store.lpush(QUEUE, message(json.dumps([[[forged]], {}, {}]).encode(), task_id=forged))
    fleet.store.lpush(QUEUE, message(b"[[], {}, {}]", task=forged))
    fleet.still_works()

    def said() -> bool:  # of many bad messages only one is logged in a while
        fleet.store.lpush(QUEUE, message(b"[[], {}, {}]", task=forged))
        fleet.still_works()
        return "sg_forged" in fleet.worker.output

    until(said, "a word about it")
    text = fleet.worker.log.read_bytes().decode()
    assert "\x1b" not in text
    assert not any(line.startswith("2026-01-01") for line in text.splitlines())


def test_what_lies_among_the_unacknowledged(tmp_path: Path) -> None:
    """What a killed worker left is taken again; what another program wrote there is kept, and blocks nothing."""
    reference = f"sg_{uuid4().hex}"
    good = json.loads(message(body(reference, {}, {})))
    left: dict[Any, Any] = {"good": json.dumps([good, "", QUEUE])} | {
        f"bad-{number}": raw
        for number, raw in enumerate(["{", "5", '["odd_1", "x", 5]', '[[], "", "celery"]', nested(950), b"\xff odd_2"])
    }
    with own_store(tmp_path / "store") as (url, store), run_in_thread(Simulator()) as (api, _):
        store.hset(key_of("unacked"), mapping=left)
        store.zadd(key_of("unacked_index"), dict.fromkeys(left, 0.0))
        with Process(tmp_path, "worker", redis_url=url, api_base_url=api, **SETTINGS) as worker:
            fleet = Fleet(url, store, worker)
            fleet.closes(reference)
            fleet.keeps("odd_1")
            fleet.keeps("odd_2")
            fleet.holds_nothing_back()
            assert worker.stop() == 0, worker.output


# Reading a message fails for as long as there is a file `break` in the worker's folder.
BREAKS = """
import os
from worker.broker.tolerant_consumer import TolerantConsumer
def made_anew(self, message):
    if os.path.exists("break"):
        raise LookupError("a defect of our own")
    return message
TolerantConsumer.made_anew = made_anew
"""


def test_a_defect_of_our_own_destroys_no_message(tmp_path: Path) -> None:
    """A message that closer fails to read goes back to the queue, the worker goes on, and in the end it is closed."""
    reference = f"sg_{uuid4().hex}"
    (tmp_path / "break").touch()
    with own_store(tmp_path / "store") as (url, store), run_in_thread(Simulator()) as (api, _):
        store.lpush(QUEUE, message(body(reference, {}, {})))
        with planted(tmp_path / "planted", BREAKS):
            worker = Process(tmp_path, "worker", redis_url=url, api_base_url=api, **SETTINGS)
        with worker:
            until(lambda: worker.output.count("goes back to the queue") >= 2, "two attempts to read it")
            (tmp_path / "break").unlink()
            fleet = Fleet(url, store, worker)
            fleet.closes(reference)
            fleet.holds_nothing_back()
            assert worker.stop() == 0, worker.output
