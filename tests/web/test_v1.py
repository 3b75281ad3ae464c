"""What the API answers: the same JSON as the command line, in pages, and a word for each wrong field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import redis
from redis.asyncio import Redis

from tasks.closure import Reason
from tasks.events.event import Rejection
from tasks.ledger.catalogue import Catalogue, Query
from tests.operations.conftest import Cli, at_ledger
from tests.operations.seed import SEEDS, Seed, sow
from tests.support import cloud_event, key_of
from tests.web.conftest import Console, give, kind


@pytest.fixture
def cli(console: Console) -> Cli:
    """The commands, on the same store."""
    return Cli(console.store_url)


def test_status(console: Console, cli: Cli) -> None:
    """It is what `closer status --json` prints, the headline as well."""
    sow(console.store_url, SEEDS)
    found = console.get("/v1/status").json()
    told = cli.json("status")
    assert found.keys() == told.keys()
    for name in ("closures", "failed", "gate", "headline", "rejected"):
        assert found[name] == told[name]


def test_a_closure(console: Console, cli: Cli) -> None:
    """Its story is what `closer show --json` prints; an unknown one is 404, and what is no reference is told."""
    sow(console.store_url, SEEDS)
    assert console.get("/v1/closures/sg_1").json() == cli.json("show", "sg_1")
    assert kind(console.get("/v1/closures/sg_9")) == "not-found"
    answer = console.get("/v1/closures/a%20b")
    assert (answer.status_code, kind(answer), answer.json()["rule"]) == (422, "refused", "not_a_reference")
    assert kind(console.get("/v1/closures/..%2f..%2fetc")) == "not-found"


@pytest.mark.parametrize(
    ("scope", "known"),
    [({}, True), ({"sources": ["wms-a"]}, True), ({"sources": ["wms-b"]}, False), ({"prefixes": ["LDS"]}, False)],
)
def test_an_emitter_follows_its_own(
    console: Console, store: redis.Redis, scope: dict[str, list[str]], known: bool
) -> None:
    """It sees a closure that it may send events of, and learns nothing of others or of operators."""
    sow(console.store_url, SEEDS)
    Cli(console.store_url).text("requeue", "sg_1", "--why", "x")
    answer = console.get("/v1/closures/sg_1", give(store, "leeds", "emitter", **scope))
    if known:
        assert (answer.json()["reference"], answer.json()["actions"]) == ("sg_1", [])
    else:
        assert (answer.status_code, kind(answer)) == (404, "not-found")


MANY = [Seed(f"sg_{number:02d}", Reason.GONE if number % 3 else Reason.NOT_LOCKED, 410) for number in range(25)]


def pages(console: Console, path: str, what: str, **query: Any) -> Iterator[list[Any]]:
    """Page after page."""
    cursor: str | None = ""
    while cursor is not None:
        document = console.client.get(path, params=query | {"cursor": cursor}).json()
        yield document[what]
        cursor = document["next"]


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_pages_of_closures(console: Console, cli: Cli, order: str) -> None:
    """Each closure once, in order, also when all entered their state in the same millisecond."""
    sow(console.store_url, MANY)
    found = list(pages(console, "/v1/closures", "closures", limit=7, order=order, state="failed"))
    assert [len(page) for page in found] == [7, 7, 7, 4]
    listed = cli.lines("list", "--state", "failed", *(["--oldest-first"] if order == "oldest" else []))
    assert [one for page in found for one in page] == listed


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("reason=gone", {"sg_2"}),
        ("reason=gone&reason=not_locked", {"sg_1", "sg_2"}),
        ("state=closed", {"sg_3"}),
        ("state=&reason=&text=", {"sg_1", "sg_2", "sg_3"}),
        ("source=wms-b", {"sg_2", "sg_3"}),
        ("code=conflict", {"sg_1"}),
        ("status=409", {"sg_1"}),
        ("prefix=sg_3", {"sg_3"}),
        ("text=GROUP IS OPEN", {"sg_1"}),
        ("since=1h&attempts_over=0", {"sg_1", "sg_2", "sg_3"}),
        ("until=1h", set()),
        ("attempts_over=1", set()),
    ],
)
def test_conditions(console: Console, query: str, expected: set[str]) -> None:
    """They are those of `closer list`."""
    sow(console.store_url, SEEDS)
    assert {one["reference"] for one in console.get(f"/v1/closures?{query}").json()["closures"]} == expected


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/v1/closures?colour=red", "colour"),
        ("/v1/closures?state=lost", "state.0"),
        ("/v1/closures?limit=501", "limit"),
        ("/v1/closures?limit=0", "limit"),
        ("/v1/closures?limit=x", "limit"),
        ("/v1/closures?since=soon", "since"),
        ("/v1/closures?status=99", "status.0"),
        ("/v1/closures?attempts_over=-1", "attempts_over"),
        ("/v1/closures?cursor=x", "cursor"),
        ("/v1/closures?order=up", "order"),
        ("/v1/closure-groups", "by"),
        ("/v1/closure-groups?by=colour", "by"),
        ("/v1/closure-groups?by=reason&limit=3", "limit"),
        ("/v1/closure-groups?by=reason&cursor=x", "cursor"),
        ("/v1/rejected?cursor=x", "cursor"),
        ("/v1/rejected?colour=red", "colour"),
        ("/v1/audit?since=soon", "since"),
        ("/v1/audit?colour=red", "colour"),
    ],
)
def test_a_wrong_query(console: Console, path: str, field: str) -> None:
    """What is unknown or wrong is named, and never passed over."""
    answer = console.get(path)
    assert (answer.status_code, kind(answer)) == (400, "wrong-request")
    assert [one["field"] for one in answer.json()["errors"]] == [field]


def test_groups(console: Console, cli: Cli) -> None:
    """They are those of `closer list --group-by`."""
    sow(console.store_url, MANY)
    for by in ("reason", "source", "code"):
        answer = console.get(f"/v1/closure-groups?by={by}&state=failed").json()
        assert (answer["groups"], answer["next"]) == (cli.lines("list", "--state", "failed", "--group-by", by), None)


@pytest.mark.parametrize("order", ["newest", "oldest"])
async def test_a_look_has_an_end(real: Redis, store_url: str, monkeypatch: pytest.MonkeyPatch, order: Any) -> None:
    """After so many looks a page ends where it is, perhaps empty; going on finds each closure once, and no other."""
    from tasks.ledger.ledger import Ledger
    from tests.operations.seed import plant

    await plant(Ledger(real), MANY)
    monkeypatch.setattr("tasks.ledger.catalogue._STRETCH", 3)
    catalogue, found, sizes, cursor = Catalogue(real), list[str](), list[int](), None
    while True:
        page = await catalogue.page(Query(prefix="sg_1"), limit=4, order=order, cursor=cursor, looks=1)
        found += [one.reference for one in page.closures]
        sizes.append(len(page.closures))
        cursor = page.next
        if cursor is None:
            break
    assert sorted(found) == [f"sg_{number}" for number in range(10, 20)]
    assert 0 in sizes
    counts, place = dict[str | None, int](), None
    while True:
        some, place = await catalogue.some_groups(Query(), "reason", cursor=place, looks=2)
        for reason, group in some.items():
            counts[reason] = counts.get(reason, 0) + group.count
        if place is None:
            break
    assert counts == {"gone": 16, "not_locked": 9}


def reject(console: Console, body: bytes, problem: str = "x: y") -> None:
    """Keep an event as rejected."""
    at_ledger(console.store_url, lambda ledger: ledger.dead_letters.reject(body, Rejection((problem,)), "1-0"))


def test_rejected_events(console: Console, cli: Cli) -> None:
    """The newest first, in pages; each as `closer rejected list` prints it."""
    for number in range(5):
        reject(console, str(number).encode())
    found = list(pages(console, "/v1/rejected", "rejected", limit=2))
    assert [len(page) for page in found] == [2, 2, 1]
    assert sorted((one for page in found for one in page), key=str) == sorted(cli.lines("rejected", "list"), key=str)
    assert [one["event"] for page in found for one in page] == ["4", "3", "2", "1", "0"]


def test_the_audit(console: Console, cli: Cli, store: redis.Redis) -> None:
    """Who paused and resumed through the API is in it, by the token's name and the door; it comes in pages."""
    anna, bob = give(store, "anna", "operator"), give(store, "bob")
    assert console.post("/v1/gate/pause", {"why": "upgrade", "until": None}, anna).json()["reason"] == "paused"
    assert console.post("/v1/gate/resume", {"why": "done"}, bob).json()["open"]
    sow(console.store_url, SEEDS)
    cli.text("requeue", "sg_1", "--why", "x")
    store.xadd(key_of("audit"), {"foreign": "x"})
    entries = console.get("/v1/audit", anna).json()["entries"]
    assert [(one["by"], one["action"], one["why"], one["door"]) for one in entries] == [
        ("olga", "requeue", "x", "cli"), ("bob", "resume", "done", "api"), ("anna", "pause", "upgrade", "api")
    ]  # fmt: skip
    first = console.get("/v1/audit?limit=1", anna).json()
    assert (first["entries"], first["entries"][0]["changed"]) == (entries[:1], 1)
    second = console.get(f"/v1/audit?limit=1&cursor={first['next']}", anna).json()
    assert second["entries"] == entries[1:2]
    for query, expected in (("by=anna", entries[2:]), ("action=resume", entries[1:2]), ("since=1h", entries)):
        assert console.get(f"/v1/audit?{query}", anna).json()["entries"] == expected


@pytest.mark.parametrize(
    ("path", "body", "status", "expected"),
    [
        ("pause", b"{", 400, "wrong-request"),
        ("pause", b"", 400, "wrong-request"),
        ("pause", b'{"colour": 1}', 400, "wrong-request"),
        ("pause", b'{"why": 7}', 400, "wrong-request"),
        ("pause", b'{"until": "04:00"}', 400, "wrong-request"),
        ("resume", b'{"override_retry_after": true}', 422, "refused"),
        ("pause", b'{"why": "' + b"x" * 1001 + b'"}', 400, "wrong-request"),
        ("pause", b" " * 2_200_000, 413, "too-large"),
    ],
)
def test_a_wrong_body(console: Console, store: redis.Redis, path: str, body: bytes, status: int, expected: str) -> None:
    """Nothing is done, and the gate stays as it was."""
    answer = console.post(f"/v1/gate/{path}", body)
    assert (answer.status_code, kind(answer)) == (status, expected)
    assert not store.exists(key_of("audit"))


def test_an_operator_may_not_override(console: Console, store: redis.Redis) -> None:
    """The guard says who may; the door only passes it on."""
    answer = console.post("/v1/gate/resume", {"override_retry_after": True, "why": "x"}, give(store, "o", "operator"))
    assert (answer.status_code, kind(answer)) == (403, "not-permitted")


def test_what_comes_from_outside_is_shown_as_it_is(console: Console, store: redis.Redis) -> None:
    """Half a character in an event does not break the answer."""
    body = b'{"reference": "\\ud800"}'
    reject(console, body, "x: \ud800")
    [one] = console.get("/v1/rejected").json()["rejected"]
    assert one["event"] == body.decode()


def test_metrics(console: Console) -> None:
    """In the text format."""
    answer = console.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    assert b"# TYPE" in answer.content


def test_the_schema_names_every_route(console: Console) -> None:
    """The door with its modes, and a problem for each answer that is not a success."""
    document = console.get("/v1/openapi.json").json()
    assert len(document["paths"]) == 12
    door = document["paths"]["/v1/events"]["post"]
    assert len(door["requestBody"]["content"]) == 3
    assert {"202", "400", "413", "503"} <= door["responses"].keys()
    for path in document["paths"].values():
        for operation in path.values():
            assert "application/problem+json" in operation["responses"]["default"]["content"]


def test_a_broken_ledger(console: Console, store: redis.Redis) -> None:
    """It is told as that, with the command that names the key."""
    for name in ("agenda", "queued", "gate"):
        store.set(key_of(name), "not ours")
    answer = console.get("/v1/status")
    assert (answer.status_code, kind(answer)) == (500, "store-broken")
    assert "closer check" in console.get("/problems/store-broken").text


def test_a_newer_ledger(console: Console, store: redis.Redis) -> None:
    """Nothing is written into it."""
    store.hset(key_of("gate"), "version", "99")
    answer = console.client.post(
        "/v1/events", content=cloud_event("sg_1"), headers={"content-type": "application/cloudevents+json"}
    )
    assert isinstance(answer, httpx.Response)
    assert (answer.status_code, kind(answer)) == (500, "store-broken")
    assert json.dumps(answer.json()).count("newer") >= 1
