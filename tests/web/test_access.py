"""Who is let in: with a token its holder; without any token this machine alone."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from tests.support import Process, free_port, run, until
from tests.web.conftest import Console, give, kind, signed
from worker.web.local import comes_from_outside, is_here
from worker.web.rate import RateLimit


def test_without_a_token_this_machine_is_let_in(console: Console) -> None:
    """Whoever is on it may do everything, and the audit will not name a person."""
    who = console.get("/v1/whoami").json()
    assert (who["name"], who["role"]) == ("anybody on this machine", "admin")


OUTSIDE = {
    "forwarded": "for=1.2.3.4",
    "x-forwarded-for": "1.2.3.4",
    "x-forwarded-proto": "https",
    "x-forwarded-host": "console.example",
    "x-real-ip": "1.2.3.4",
    "via": "1.1 proxy",
    "host": "console.example",
    "sec-fetch-site": "cross-site",
    "origin": "https://evil.example",
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_without_a_token_nobody_else_is_let_in(console: Console, name: str) -> None:
    """A request that a proxy or a page of another site may have sent is refused."""
    answer = console.client.get("/v1/whoami", headers={name: OUTSIDE[name]})
    assert (answer.status_code, kind(answer)) == (403, "from-outside")
    assert "closer token create" in console.get("/problems/from-outside").text


@pytest.mark.parametrize(
    ("headers", "outside"),
    [
        ({"host": "localhost:8080"}, False),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}, False),
        ({"host": "[::1]:8080", "sec-fetch-site": "none"}, False),
        ({}, True),
        ({"host": ""}, True),
        ({"host": "0.0.0.0:8080"}, True),
        ({"host": "[::]:8080"}, True),
        ({"host": "localhost.evil.example"}, True),
        ({"host": "evil.example:8080@localhost"}, False),  # urlsplit and browsers take what follows the @ for the host
        ({"host": "[::1"}, True),
        ({"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:9090"}, True),
        ({"host": "127.0.0.1:8080", "origin": "null"}, True),
        ({"host": "127.0.0.1:8080", "origin": "http://[::1"}, True),
        ({"host": "127.0.0.1:8080", "sec-fetch-site": "same-site"}, True),
        ({"host": "127.0.0.1", "X-Forwarded-For".lower(): ""}, True),
    ],
)
def test_what_comes_from_outside(headers: dict[str, str], outside: bool) -> None:
    """The headers tell."""
    assert bool(comes_from_outside(headers)) is outside


@pytest.mark.parametrize(
    ("host", "here"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("::", False), ("0", False),
     ("10.0.0.1", False), ("console.example", False)],
)  # fmt: skip
def test_where_only_this_machine_is_served(host: str, here: bool) -> None:
    """Every address of the machine is not this machine alone."""
    assert is_here(host) is here


def test_a_token_says_who_it_is(console: Console, store: redis.Redis) -> None:
    """Its holder is known by name, role and binding, also through a proxy; without it nobody is, also from here."""
    secret = give(store, "leeds", "emitter", sources=["wms"])
    who = console.get("/v1/whoami", secret, x_forwarded_for="1.2.3.4", host="console.example").json()
    assert who == {"name": "leeds", "role": "emitter", "sources": ["wms"], "prefixes": []}
    answer = console.get("/v1/whoami")
    assert (answer.status_code, kind(answer)) == (401, "not-signed-in")
    assert answer.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.parametrize(
    "value", ["Bearer closer_guessed", "Bearer", "Basic YTpi", "closer_anna", "Bearer closer_anna x"]
)
def test_what_is_not_a_good_token(console: Console, store: redis.Redis, value: str) -> None:
    """It is refused, also while there is no token at all."""
    for _ in range(2):
        answer = console.client.get("/v1/whoami", headers={"authorization": value})
        assert (answer.status_code, kind(answer)) == (401, "not-signed-in")
        give(store, "anna")


def test_a_revoked_token_is_refused_at_once(console: Console, store: redis.Redis) -> None:
    """The next request fails; so does one with a token whose time is over."""
    anna, _ = give(store, "anna"), give(store, "bob")
    assert console.get("/v1/whoami", anna).status_code == 200
    assert run("token", "revoke", "anna", redis_url=console.store_url, operator="olga").returncode == 0
    assert console.get("/v1/whoami", anna).status_code == 401
    assert console.get("/v1/whoami", give(store, "old", expires=2)).status_code == 401


def test_a_use_is_noted(console: Console, store: redis.Redis) -> None:
    """`closer token list` shows it."""
    console.get("/v1/whoami", give(store, "vera"))
    shown = run("token", "list", redis_url=console.store_url).stdout
    assert "vera" in shown
    assert "never" not in shown
    assert "ago" in shown


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "CLOSER_HTTP_PLAIN=1, if plain HTTP is wanted"),
        ({"public_url": "http://console.example"}, "put a proxy with TLS before the console"),
        ({"http_plain": 1}, "there is no token yet. Make one first: closer token create"),
        ({"public_url": "https://console.example"}, "there is no token yet"),
    ],
)
def test_beyond_this_machine_nothing_is_served_openly(store_url: str, settings: dict[str, Any], words: str) -> None:
    """Without a token, or with tokens in the clear, it does not start, and says what to do."""
    done = run("console", redis_url=store_url, http_host="0.0.0.0", http_port=free_port(), **settings)
    assert done.returncode == 2
    assert words in done.stderr


def test_beyond_this_machine_with_a_token(store_url: str, store: redis.Redis, tmp_path: Path) -> None:
    """It starts. When the last token is revoked, nobody is let in any more, also from this machine."""
    secret = give(store, "anna")
    with Console(tmp_path, store_url, http_host="0.0.0.0", public_url="https://console.example/closer/") as console:
        assert console.get("/v1/whoami", secret).status_code == 200
        store.flushall()
        answer = console.get("/v1/whoami")
        assert (answer.status_code, kind(answer)) == (401, "not-signed-in")
        assert answer.json()["type"] == "https://console.example/closer/problems/not-signed-in"
        assert "max-age" in answer.headers["strict-transport-security"]


def test_beyond_this_machine_it_waits_for_the_store(tmp_path: Path) -> None:
    """Nobody can know then whether there is a token, so it does not listen; it can be stopped meanwhile."""
    port = free_port()
    given = {"redis_url": f"redis://127.0.0.1:{free_port()}/0", "http_host": "0.0.0.0", "http_plain": 1}
    with Process(tmp_path, "console", http_port=port, **given) as process:
        until(lambda: "looking for tokens before it listens waits" in process.output, "the wait")
        with socket.socket() as one:
            assert one.connect_ex(("127.0.0.1", port)) != 0
        assert process.stop() == 0


@pytest.mark.parametrize("url", ["ftp://x", "https://", "https://u:p@x", "https://x?y=1", "console.example"])
def test_a_public_url_that_is_none(url: str) -> None:
    """It is refused by name."""
    done = run("console", public_url=url)
    assert done.returncode == 2
    assert "CLOSER_PUBLIC_URL" in done.stderr


def test_a_rate_limit_fills_evenly() -> None:
    """A second's worth may come at once; then each must wait for its own."""
    now = [0.0]
    limit = RateLimit(4, lambda: now[0])
    assert [limit.wait_s("a") for _ in range(5)] == [0, 0, 0, 0, 0.25]
    assert limit.wait_s("b") == 0
    now[0] = 0.5
    assert [limit.wait_s("a") for _ in range(3)] == [0, 0, 0.25]
    assert [RateLimit(0).wait_s("a") for _ in range(9)] == [0] * 9
    for number in range(2_000):
        assert limit.wait_s(f"n{number}") == 0


def test_a_token_that_comes_too_often(store_url: str, store: redis.Redis, tmp_path: Path) -> None:
    """It is told when to come again; another token is not held up."""
    anna, bob = give(store, "anna"), give(store, "bob")
    with Console(tmp_path, store_url, http_rate_limit=0.01) as console:
        assert console.get("/v1/whoami", anna).status_code == 200
        answer = console.get("/v1/whoami", anna)
        assert (answer.status_code, kind(answer)) == (429, "too-many-requests")
        assert 1 <= int(answer.headers["retry-after"]) <= 100
        assert console.get("/v1/whoami", bob).status_code == 200


def test_the_same_token_in_two_headers(console: Console, store: redis.Redis) -> None:
    """Two Host headers are refused by the server, and the first Authorization counts."""
    secret = give(store, "anna")
    with httpx.Client(trust_env=False) as client:
        two = [("authorization", "Bearer x"), ("authorization", f"Bearer {secret}")]
        assert client.get(console.url + "/v1/whoami", headers=two).status_code == 401
        assert client.get(console.url + "/v1/whoami", headers=signed(secret)).status_code == 200
