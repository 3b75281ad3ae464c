"""`POST /v1/events`: what is taken, what is not and why, and that nothing is taken by halves."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tests.support import STREAM, cloud_event
from tests.web.conftest import Console, give, kind
from tests.web.sending import BATCH, CE, EVENT, ONE, on_stream, send
from tests.web.taking import facts, take_in
from worker.web.access import ANYBODY
from worker.web.door import Refusals
from worker.web.problems import Problem

DATA = b'{"reference": "sg_1"}'
MODES: dict[str, tuple[dict[str, str], bytes]] = {
    "structured": ({"content-type": ONE}, EVENT),
    "structured, with parameters": ({"content-type": f"{ONE.upper()}; charset=UTF-8"}, EVENT),
    "binary": ({**CE, "content-type": "application/json"}, DATA),
    "binary, data that are text": ({**CE, "content-type": "text/plain"}, DATA),
    "binary, without data": ({**CE, "ce-subject": "sg_1"}, b""),
    "binary, with %XX and quotes": ({**CE, "ce-source": '"w%6Ds"'}, DATA),
    "batch": ({"content-type": BATCH}, b"[" + EVENT + b"]"),
    "JSON": ({"content-type": "application/json"}, b'{"reference": "sg_1", "id": "7", "source": "wms"}'),
    "JSON, a CloudEvent": ({"content-type": "application/json"}, EVENT),
    "JSON, an array": ({"content-type": "application/json"}, b"[" + EVENT + b"]"),
}


@pytest.mark.parametrize("mode", MODES)
async def test_each_mode(console: Console, store: redis.Redis, real: Redis, mode: str) -> None:
    """The event is on the stream when 202 is answered, and closes its group as one that came by XADD."""
    headers, content = MODES[mode]
    answer = send(console, content, headers)
    assert (answer.status_code, answer.json()) == (202, {"accepted": 1, "rejected": 0, "ids": ["7"]})
    assert len(on_stream(store)) == 1
    [closure], letters = await take_in(real)
    assert (closure.reference, closure.source, closure.event_id, letters) == ("sg_1", "wms", "7", [])


async def test_an_event_without_an_id_is_known_by_its_entry(console: Console, real: Redis) -> None:
    """The answer tells the id that the ledger has."""
    ids = send(console, b'[{"reference": "sg_1"}, {"reference": "sg_2"}]', {"content-type": BATCH}).json()["ids"]
    closures, _ = await take_in(real)
    assert sorted(one.event_id for one in closures) == sorted(ids)


async def test_the_same_event_again(console: Console, real: Redis) -> None:
    """It is taken, and counts once."""
    assert [send(console, EVENT).status_code for _ in range(3)] == [202] * 3
    closures, _ = await take_in(real)
    assert len(closures) == 1


@pytest.mark.parametrize("data", [{"reference": "sg_1"}, {"order": 5}, None])
async def test_a_type_that_closes_nothing(console: Console, real: Redis, data: Any) -> None:
    """Push services switch off on 4xx: it is taken, counted, and kept with the rejected events by a worker."""
    event = json.loads(cloud_event("x", "7", type="order.created", data=data))
    answer = send(console, json.dumps([event, json.loads(EVENT)]), {"content-type": BATCH})
    [rejected_id, event_id] = answer.json()["ids"]
    assert (answer.status_code, answer.json()["accepted"], answer.json()["rejected"]) == (202, 1, 1)
    closures, [letter] = await take_in(real)
    assert (len(closures), letter.origin, event_id) == (1, rejected_id, "7")


WRONG: dict[str, tuple[dict[str, str], bytes, int, str, str]] = {
    "no JSON": ({"content-type": ONE}, b"{", 400, "not-json", "not JSON"),
    "not UTF-8": ({"content-type": ONE}, b'{"a": "\xff"}', 400, "not-json", "not UTF-8"),
    "nothing": ({"content-type": ONE}, b"", 400, "not-json", "not JSON"),
    "a key twice": ({"content-type": ONE}, b'{"id": 1, "id": 2}', 400, "not-json", "twice"),
    "an array as one": ({"content-type": ONE}, b"[" + EVENT + b"]", 400, "not-json", "one event"),
    "one as an array": ({"content-type": BATCH}, EVENT, 400, "not-json", "an array"),
    "a broken array": ({"content-type": BATCH}, b"[" + EVENT, 400, "not-json", "not JSON"),
    "an empty array": ({"content-type": BATCH}, b"[]", 422, "wrong-events", "without any event"),
    "a number": ({"content-type": ONE}, b"7", 422, "wrong-events", "event"),
    "no reference": ({"content-type": ONE}, b'{"id": "7"}', 422, "wrong-events", "reference: missing"),
    "a wrong reference": ({"content-type": "application/json"}, b'{"reference": "a b"}', 422, "wrong-events", "128"),
    "no id": ({**CE, "ce-id": ""}, DATA, 400, "wrong-headers", "id"),
    "no type": ({k: v for k, v in CE.items() if k != "ce-type"}, DATA, 400, "wrong-headers", "type: missing"),
    "a wrong version": ({**CE, "ce-specversion": "0.3"}, DATA, 400, "wrong-headers", "specversion"),
    "wrong %XX": ({**CE, "ce-id": "%ff"}, DATA, 400, "wrong-headers", "ce-id is not UTF-8"),
    "binary, wrong data": (CE, b'{"reference": 7}', 422, "wrong-events", "data.reference"),
    "binary, data that are no JSON": (CE, b"sg_1", 422, "wrong-events", "data.reference"),
    "text": ({"content-type": "text/plain"}, EVENT, 415, "wrong-content-type", "text/plain"),
    "no content type": ({}, EVENT, 415, "wrong-content-type", "no content type"),
    "XML": ({"content-type": "application/cloudevents+xml", **CE}, EVENT, 415, "wrong-content-type", "xml"),
    "another charset": ({"content-type": f"{ONE}; charset=latin1"}, EVENT, 415, "wrong-content-type", "UTF-8"),
    "packed": ({"content-type": ONE, "content-encoding": "gzip"}, EVENT, 415, "wrong-content-type", "packed"),
    "too large": ({"content-type": ONE}, b" " * 65_537, 413, "too-large", "65536"),
    "too large, bare": ({"content-type": "application/json"}, b" " * 65_537, 413, "too-large", "65536"),
    "too large, a batch": ({"content-type": BATCH}, b"[" + b" " * 1_048_576, 413, "too-large", "1048576"),
    "too many": ({"content-type": BATCH}, b"[" + b"1," * 1000 + b"1]", 413, "too-large", "more than 1000"),
    "too large, one of two": (
        {"content-type": BATCH}, b"[" + EVENT + b', {"a": "' + b"x" * 65_536 + b'"}]', 413, "too-large", "event 1",
    ),
    "too large when its data are text": (CE, b'{"reference": "sg_1", "x": "' + "é".encode() * 20_000 + b'"}', 413,
                                         "too-large", "event 0"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_what_is_refused(console: Console, store: redis.Redis, name: str) -> None:
    """The problem says what is wrong, and nothing is on the stream."""
    headers, content, status, problem, words = WRONG[name]
    answer = send(console, content, headers)
    assert (answer.status_code, kind(answer)) == (status, problem)
    assert words in answer.json()["detail"]
    assert on_stream(store) == []


def test_two_of_one_header(console: Console) -> None:
    """Nobody knows which one counts."""
    headers = [*CE.items(), ("ce-id", "8")]
    answer = console.client.post("/v1/events", content=DATA, headers=headers)
    assert (answer.status_code, kind(answer)) == (400, "wrong-headers")


def test_nothing_of_a_batch_is_taken_when_one_is_wrong(console: Console, store: redis.Redis) -> None:
    """Each wrong one is named by its place and field."""
    answer = send(console, b"[" + EVENT + b', {"reference": 7}, 5, ' + EVENT + b"]", {"content-type": BATCH})
    assert answer.status_code == 422
    errors = answer.json()["errors"]
    assert [(one["index"], one["field"]) for one in errors] == [(1, "reference"), (2, "event")]
    assert on_stream(store) == []


def test_the_largest_are_taken(console: Console, store: redis.Redis) -> None:
    """An event of 64 KiB, and a thousand events in one batch."""
    padded = EVENT + b" " * (65_536 - len(EVENT))
    assert send(console, padded).status_code == 202
    thousand = b"[" + b",".join(cloud_event(f"sg_{n}", str(n)).encode() for n in range(1000)) + b"]"
    assert send(console, thousand, {"content-type": BATCH}).json()["accepted"] == 1000
    assert len(on_stream(store)) == 2


@pytest.mark.parametrize(("content_type", "chunks"), [(ONE, 9), (BATCH, 129)])
def test_a_body_without_an_end_is_counted(console: Console, store: redis.Redis, content_type: str, chunks: int) -> None:
    """It is refused as soon as it is too large, although its end has not come."""
    head = f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {content_type}\r\n"
    with socket.create_connection(("127.0.0.1", console.port), timeout=30) as one:
        one.sendall(head.encode() + b"transfer-encoding: chunked\r\n\r\n")
        for _ in range(chunks):
            one.sendall(b"2000\r\n" + b" " * 8_192 + b"\r\n")
        assert one.recv(65_536).startswith(b"HTTP/1.1 413")
    assert on_stream(store) == []


def test_a_length_that_is_too_large(console: Console) -> None:
    """It is refused before anything of the body has come."""
    head = f"POST /v1/events HTTP/1.1\r\nhost: localhost\r\ncontent-type: {ONE}\r\ncontent-length: 9999999\r\n\r\n"
    with socket.create_connection(("127.0.0.1", console.port), timeout=30) as one:
        one.sendall(head.encode())
        assert one.recv(65_536).startswith(b"HTTP/1.1 413")


def test_a_body_without_a_length(console: Console, store: redis.Redis) -> None:
    """It is taken when it is not too large."""
    assert send(console, iter([EVENT[:20], EVENT[20:]])).status_code == 202
    assert len(on_stream(store)) == 1


def test_refusals_are_remembered(console: Console, store: redis.Redis) -> None:
    """Who sent it, and what was wrong; the newest first."""
    leeds = give(store, "leeds", "emitter")
    send(console, b"{", token=leeds)
    send(console, EVENT, {"content-type": "text/plain"}, leeds)
    newest, before = console.get("/v1/refusals", give(store, "anna", "viewer")).json()["refusals"][:2]
    assert (newest["by"], newest["status"], newest["problem"]) == ("leeds", 415, "wrong-content-type")
    assert (before["status"], before["problem"]) == (400, "not-json")
    assert console.get("/v1/refusals", leeds).status_code == 403


def test_only_the_last_refusals_are_kept() -> None:
    """A sender that repeats its fault takes no more memory."""
    kept = Refusals()
    for number in range(120):
        kept.add(ANYBODY, Problem("not-json", str(number)))
    assert [one["detail"] for one in kept.newest()] == [str(number) for number in range(119, 19, -1)]


async def test_both_doors_make_the_same_of_it(console: Console, store: redis.Redis, real: Redis) -> None:
    """An event in binary mode means the same by XADD with the fields ce_…."""
    send(console, DATA, CE)
    by_http = facts(*await take_in(real))
    store.flushall()
    fields: Any = {name.replace("ce-", "ce_"): value for name, value in CE.items()} | {"data": DATA}
    store.xadd(STREAM, fields)
    assert facts(*await take_in(real)) == by_http


def test_a_folder_is_not_needed(tmp_path: Path, store_url: str) -> None:
    """The console needs no data directory when the store is elsewhere."""
    with Console(tmp_path, store_url, data_dir="/proc/nowhere") as console:
        assert send(console, EVENT).status_code == 202
