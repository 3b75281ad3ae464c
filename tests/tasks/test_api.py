"""The client of the API, over real HTTP: what is sent, what comes back, and that nothing is raised."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable

import pytest
from pydantic import SecretStr

from tasks.api.client import SortedApi
from tasks.api.content import MAX_BYTES
from tasks.api.reply import Body, Failure, NoReply, Reply
from tests.support import API_KEY
from tests.tasks.raw import raw_server
from tests.tasks.standin import REF, StandIn


async def test_what_is_sent(api: SortedApi, standin: StandIn) -> None:
    """A call is the documented method and path with the documented headers, no body, no query, no cookie."""
    standin.script.extend([(200, {}, {"Set-Cookie": "a=b"})] * 3)
    for call in (api.close, api.lock, api.state):
        await call(REF)
    sent = [(request.method, request.target) for request in standin.requests]
    path = f"/pro/shipment_groups/{REF}"
    assert sent == [("POST", f"{path}/close"), ("POST", f"{path}/lock"), ("GET", path)]
    assert [request.body for request in standin.requests] == [b""] * 3
    for request in standin.requests:
        headers = request.headers
        assert (headers["x-api-key"], headers["x-api-version"], headers["Accept"]) == (
            API_KEY,
            "1.1",
            "application/json",
        )
        assert headers["Accept-Encoding"] == "gzip"
        assert "Cookie" not in headers
        assert "Transfer-Encoding" not in headers
    assert len({request.connection for request in standin.requests}) == 1, "the connection is used again"


async def test_replies(api: SortedApi, standin: StandIn) -> None:
    """A reply is its status, its body if that is a JSON object, and its Retry-After."""
    standin.script.extend(
        [
            (200, {"reference": REF, "message": "m", "_links": None}),
            (304, None),
            (409, {"code": "conflict", "details": [{"code": "x"}]}, {"Retry-After": "7"}),
            (503, b"<html>", {"Retry-After": "Fri, 31 Dec 1999 23:59:59 GMT", "Date": "Fri, 31 Dec 1999 23:59:29 GMT"}),
            (200, gzip.compress(json.dumps({"state": "open"}).encode()), {"Content-Encoding": "gzip"}),
            (302, None, {"Location": "https://example.com/"}),
        ]
    )
    replies = [await api.close(REF) for _ in range(6)]
    assert replies == [
        Reply(200, Body(reference=REF)),
        Reply(304),
        Reply(409, Body.model_validate({"code": "conflict", "details": [{"code": "x"}]}), 7.0),
        Reply(503, None, 30.0),
        Reply(200, Body(state="open")),
        Reply(302),
    ]
    assert len(standin.requests) == 6, "no redirect is followed"


async def failure(api: SortedApi, timeout_s: float | None = None) -> Failure:
    """The error says why there was no usable reply, and does not contain the key."""
    reply = await api.close(REF, timeout_s)
    assert isinstance(reply, NoReply), reply
    assert API_KEY not in reply.detail
    return reply.failure


async def test_no_reply(api: SortedApi, standin: StandIn) -> None:
    """A cut connection, silence, and a body without end are told apart, and none is raised."""
    standin.script.extend(["cut", "hang", (200, b" " * (MAX_BYTES + 1)), (200, {})])
    assert await failure(api) is Failure.CUT
    assert await failure(api, timeout_s=0.1) is Failure.TIMEOUT
    assert await failure(api) is Failure.TOO_LARGE
    assert await api.close(REF) == Reply(200, Body())


async def test_a_close_is_never_repeated_unasked(api: SortedApi, standin: StandIn) -> None:
    """A connection that dies under a close call ends the call: only the ledger decides on another one."""
    standin.script.extend([(200, {}), "cut"])
    await api.close(REF)
    assert await failure(api) is Failure.CUT
    assert len(standin.requests) == 2


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (b"", Failure.CUT),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}", Failure.CUT),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Failure.PROTOCOL),
        (b"SSH-2.0-OpenSSH_9.6\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 999999 X\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", Failure.PROTOCOL),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", Failure.PROTOCOL),
    ],
)
async def test_broken_replies(reply: bytes, expected: Failure) -> None:
    """What is not HTTP, or only half of it, is not a reply."""
    async with raw_server([reply], shut=True) as raw:
        assert await failure(raw.api) is expected


ECHOES = [
    b"POST / HTTP/1.1\r\nx-api-key: " + API_KEY.encode() + b"\r\n\r\n",
    b"x-api-key: " + API_KEY.encode() + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\n" + API_KEY.encode() + b"\x00\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nX-Echo: " + b"x" * 85 + API_KEY.encode() + b"x" * 100_000 + b"\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + API_KEY.encode() + b"\r\n",
]


@pytest.mark.parametrize("echo", ECHOES)
async def test_an_echo_shows_no_key(echo: bytes) -> None:
    """Where a server sends the request back, in whole or cut off, the key is not quoted with what it sent."""
    async with raw_server([echo], shut=True) as raw:
        reply = await raw.api.close(REF)
    assert isinstance(reply, NoReply)
    assert not any(API_KEY[begin : begin + 8] in reply.detail for begin in range(len(API_KEY) - 7)), reply.detail


async def test_a_slow_body_ends_with_the_total_time_out() -> None:
    """The time-out is for the whole call: a body that never ends does not hold it."""
    async with raw_server([b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"], shut=False) as raw:
        assert await failure(raw.api, timeout_s=0.5) is Failure.TIMEOUT


async def test_nobody_listens(unused_tcp_port_factory: Callable[[], int]) -> None:
    """A refused connection is told apart from a cut one: the call has surely not taken effect."""
    url = f"http://127.0.0.1:{unused_tcp_port_factory()}"
    api = SortedApi(base_url=url, key=SecretStr(API_KEY), version="1.1", timeout_s=5, connections=1)
    assert await failure(api) is Failure.CONNECT
    await api.aclose()


@pytest.mark.parametrize("reference", ["", "../x", "a/b", "a?b", "a\n", "x" * 129])
async def test_no_reference_leaves_the_path(api: SortedApi, standin: StandIn, reference: str) -> None:
    """Nothing that is not a reference ever becomes part of an address."""
    with pytest.raises(ValueError, match="not a reference"):
        await api.close(reference)
    assert standin.requests == []


async def test_no_secret_in_its_repr(api: SortedApi) -> None:
    """The client shows where it calls, never its key."""
    assert API_KEY not in repr(api)
    assert API_KEY not in str(vars(api).get("_transport"))


async def test_retry_after_counts_without_a_body(api: SortedApi, standin: StandIn) -> None:
    """What the headers tell about waiting counts, even where the body cannot be read or is too large."""
    wait = {"Retry-After": "7"}
    standin.script.append((503, b"no gzip", wait | {"Content-Encoding": "gzip"}))
    standin.script.append((503, b"x" * (MAX_BYTES + 1), wait))
    replies = [await api.close(REF), await api.close(REF)]
    assert [(reply.failure, reply.retry_after_s) for reply in replies if isinstance(reply, NoReply)] == [
        (Failure.PROTOCOL, 7.0),
        (Failure.TOO_LARGE, 7.0),
    ]
