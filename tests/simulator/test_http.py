"""The simulator's HTTP: requests in any number of parts, and what is refused."""

from __future__ import annotations

import asyncio
import re

import pytest

from tests.simulator.support import CLOSE, GET, LIMIT_S
from worker.simulator.http import MAX_BYTES, encode, read
from worker.simulator.script import Reply
from worker.simulator.server import Simulator

HEAD = "Host: x\r\nx-api-key: k\r\nx-api-version: 1.1\r\n"
CLOSING = f"POST /pro{CLOSE} HTTP/1.1\r\n{HEAD}".encode()


async def talk(simulator: Simulator, *parts: bytes) -> bytes:
    """All that comes back for these bytes, until the server ends the connection."""
    port = int(simulator.base_url.rsplit(":", 1)[1].partition("/")[0])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for part in parts:
        writer.write(part)
        await writer.drain()
    said = await asyncio.wait_for(reader.read(), LIMIT_S)
    writer.close()
    await writer.wait_closed()
    return said


def test_a_request_may_come_byte_by_byte() -> None:
    """A request is read when its last byte is there, and not before; what follows it is kept."""
    whole = b"POST /a?b HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
    assert {read(whole[:length]) for length in range(len(whole))} == {None}
    found = read(whole + b"GET")
    assert found is not None
    request, rest = found
    assert (request.method, request.path, request.body, request.keep, rest) == ("POST", "/a", b"{}", True, b"GET")


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body_sends_none(status: int) -> None:
    """HTTP forbids a body after these, so a scripted one stays away; so does its length."""
    said = encode(Reply(status, b"{}"))
    assert said.endswith(b"\r\n\r\n")
    assert b"Content-Length" not in said


async def test_requests_sent_at_once_are_served_in_turn(simulator: Simulator) -> None:
    """Two requests in one packet get their replies in the order of the requests; `Connection: close` is obeyed."""
    said = await talk(simulator, CLOSING + b"\r\n" + CLOSING + b"Connection: close\r\n\r\n")
    assert re.findall(rb"HTTP/1.1 (\d+)", said) == [b"200", b"304"]


async def test_a_client_of_http_1_0_is_not_kept(simulator: Simulator) -> None:
    """A client that does not know kept connections sees the end of the reply."""
    assert (await talk(simulator, CLOSING.replace(b"/1.1", b"/1.0") + b"\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_the_reply_to_head_has_no_body(simulator: Simulator) -> None:
    """HEAD is answered with the head that GET would get."""
    said = await talk(simulator, f"HEAD /pro{GET} HTTP/1.0\r\n{HEAD}\r\n".encode())
    assert said.startswith(b"HTTP/1.1 200 OK\r\n")
    assert said.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"hello\r\n\r\n", b"400"),
        (b"GET / SSH/2\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nnot a header\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * MAX_BYTES, b"413"),
        (b"GET / HTTP/1.0\r\n\r\n", b"404"),
        (b"GET /_simulator/nothing HTTP/1.0\r\n\r\n", b"404"),
        (b"DELETE /pro/shipment_groups/sg_1 HTTP/1.0\r\n\r\n", b"405"),
        (b"POST /pro/shipment_groups//close HTTP/1.0\r\n\r\n", b"404"),
    ],
)
async def test_what_is_refused(simulator: Simulator, sent: bytes, status: bytes) -> None:
    """What is not a request of the API gets its status, and the connection ends."""
    assert (await talk(simulator, sent)).startswith(b"HTTP/1.1 " + status)
