"""What servers send, rightly or not quite: heads of any reasonable size, statuses without a body, kept connections."""

from __future__ import annotations

import asyncio
import itertools

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tasks.api.reply import Body, Failure, NoReply, Reply
from tasks.api.transport import Connection
from tests.tasks.raw import raw_server
from tests.tasks.standin import REF

BODY = b'{"reference":"sg_1"}'
OK = Reply(200, Body(reference=REF))


def reply(*head: bytes, body: bytes = BODY, status: bytes = b"200 OK") -> bytes:
    """A reply with a length."""
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % len(body), *head]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


COOKIES = [b"Set-Cookie: c%d=%b; Path=/; Secure" % (n, b"v" * 20) for n in range(150)]
LARGE_HEADS = {
    "9,000 bytes in a header": [b"Content-Security-Policy: " + b"x" * 9_000],
    "60,000 bytes in a header": [b"X-Trace: " + b"x" * 60_000],
    "150 cookies": COOKIES,
    "64 KiB in all": [b"X-%d: %b" % (n, b"x" * 4_000) for n in range(16)],
    "500 headers": [b"X-%d: 1" % n for n in range(500)],
    "cookies that are none": [b"Set-Cookie: =;;=\x7f", b"Set-Cookie: \xff\xfe; Expires=never"],
    "bytes that are not text": [b"X-Name: Caf\xe9", b"X-Other: \xf0\x9f\x9a\x9a"],
    "a header twice": [b"Content-Type: application/json", b"Content-Type: text/html", b"Server: a", b"Server: b"],
}


@pytest.mark.parametrize("head", LARGE_HEADS.values(), ids=LARGE_HEADS)
async def test_large_heads(head: list[bytes]) -> None:
    """A reply counts however much gateways have written into its head, within reason."""
    async with raw_server([reply(*head)], shut=False) as raw:
        assert await raw.api.close(REF) == OK


TOO_LARGE_HEADS = {
    "one header": [b"X: " + b"x" * 100_000],
    "in all": [b"X-%d: %b" % (n, b"x" * 9_000) for n in range(200)],
    "how many": [b"X: 1"] * 20_000,
}


@pytest.mark.parametrize("head", TOO_LARGE_HEADS.values(), ids=TOO_LARGE_HEADS)
async def test_heads_have_a_limit(head: list[bytes]) -> None:
    """A head without end is not a reply, and memory stays bounded."""
    async with raw_server([reply(*head)], shut=False) as raw:
        said = await raw.api.close(REF)
        assert isinstance(said, NoReply)
        assert said.failure is Failure.PROTOCOL


BODILESS = {
    "nothing": b"\r\n",
    "a length": b"Content-Length: 20\r\n\r\n",
    "a length and a body": b"Content-Length: 20\r\n\r\n" + BODY,
    "a body": b"\r\n" + BODY,
    "chunked": b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked, with a body": b"transfer-encoding: chunked\r\n\r\n14\r\n" + BODY + b"\r\n0\r\n\r\n",
    "another reply": b"Content-Length: 40\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n" + BODY,
    "an encoding": b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
}


@pytest.mark.parametrize("rest", BODILESS.values(), ids=BODILESS)
@pytest.mark.parametrize(("line", "expected"), [(b"304 Not Modified", 304), (b"204 No Content", 204), (b"304", 304)])
async def test_statuses_without_a_body(rest: bytes, line: bytes, expected: int) -> None:
    """A 304 is "already closed" whatever is sent after its head, and what was sent is not taken for the next reply."""
    async with raw_server([b"HTTP/1.1 " + line + b"\r\n" + rest, reply()], shut=False) as raw:
        assert await raw.api.close(REF) == Reply(expected)
        assert await raw.api.close(REF) == OK


async def test_a_plain_304_keeps_its_connection() -> None:
    """Groups that are closed already, a hundred thousand of them after a disaster, do not cost a connection each."""
    async with raw_server([b"HTTP/1.1 304 Not Modified\r\nContent-Length: 0\r\n\r\n", reply()], shut=False) as raw:
        assert [await raw.api.close(REF), await raw.api.close(REF)] == [Reply(304), OK]
        assert raw.connections == 1


UNFRAMED = {
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\n" + BODY,
    "no length": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + BODY,
    "line feeds only": b"HTTP/1.1 200 OK\nContent-Length: 20\n\n" + BODY,
    "no reason": b"HTTP/1.1 200\r\nContent-Length: 20\r\n\r\n" + BODY,
    "interim replies first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + reply(),
}


@pytest.mark.parametrize("raw_reply", UNFRAMED.values(), ids=UNFRAMED)
async def test_old_and_odd_servers(raw_reply: bytes) -> None:
    """A body that ends with the connection, a missing reason and interim replies are read."""
    async with raw_server([raw_reply], shut=True) as raw:
        assert await raw.api.close(REF) == OK


@given(rest=st.sampled_from(list(BODILESS.values())), cuts=st.lists(st.integers(0, 120), max_size=4))
@example(rest=BODILESS["chunked, with a body"], cuts=list(range(120)))
def test_a_head_in_pieces(rest: bytes, cuts: list[int]) -> None:
    """However the network cuts it up, a 304 is read, and nothing that follows it."""
    with asyncio.Runner() as runner:
        connection = runner.run(_fed(b"HTTP/1.1 304 Not Modified\r\n" + rest, sorted(cuts)))
    [((message, _), _)] = connection._buffer
    assert message.code == 304
    assert connection.exception() is None


async def _fed(data: bytes, cuts: list[int]) -> Connection:
    connection = Connection(asyncio.get_running_loop())
    connection.set_response_params()
    for begin, end in itertools.pairwise([0, *cuts, len(data)]):
        connection.data_received(data[begin:end])
    return connection
