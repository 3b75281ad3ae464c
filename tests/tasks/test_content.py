"""Bodies: packed in any way that a reply may be, and never more than the limit in memory."""

from __future__ import annotations

import gzip
import subprocess
import sys
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.api.client import SortedApi
from tasks.api.content import MAX_BYTES, TooLarge, read, unpack
from tasks.api.reply import Body, Failure, NoReply, Reply
from tasks.api_health import throttle_s
from tests.tasks.raw import raw_server
from tests.tasks.standin import REF, StandIn

BODY = b'{"reference":"sg_1"}'


def bare(content: bytes) -> bytes:
    """Deflated without the two bytes that zlib's format begins with."""
    engine = zlib.compressobj(wbits=-15)
    return engine.compress(content) + engine.flush()


PACKED = {
    "gzip": ("gzip", gzip.compress(BODY)),
    "its old name": ("x-gzip", gzip.compress(BODY)),
    "capitals": (" GZip ", gzip.compress(BODY)),
    "zlib": ("deflate", zlib.compress(BODY)),
    "bare deflate": ("deflate", bare(BODY)),
    "identity": ("identity", BODY),
    "nothing": ("", BODY),
    "twice": ("gzip, gzip", gzip.compress(gzip.compress(BODY))),
    "two kinds": ("deflate,gzip", gzip.compress(zlib.compress(BODY))),
    "two members": ("gzip", gzip.compress(BODY[:7]) + gzip.compress(BODY[7:])),
    "padding after it": ("gzip", gzip.compress(BODY) + b"\0" * 512),
    "without its checksum": ("gzip", gzip.compress(BODY)[:-8]),
}


@pytest.mark.parametrize(("encoding", "packed"), PACKED.values(), ids=PACKED)
async def test_packed_bodies(api: SortedApi, standin: StandIn, encoding: str, packed: bytes) -> None:
    """A reply counts however its body is packed."""
    standin.script.append((200, packed, {"Content-Encoding": encoding}))
    assert await api.close(REF) == Reply(200, Body(reference=REF))


UNKNOWN = ["br", "zstd", "gzip, br", "aes128gcm", ",".join(["gzip"] * 50)]


@pytest.mark.parametrize("encoding", UNKNOWN)
async def test_unknown_encodings(api: SortedApi, standin: StandIn, encoding: str) -> None:
    """A body in an encoding that nobody asked for cannot be read; its status and headers count all the same."""
    standin.script.append((503, b"\x1b\x05", {"Content-Encoding": encoding, "Retry-After": "7"}))
    assert await api.close(REF) == Reply(503, None, 7.0)


ENCODINGS: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress, "bare": bare}


@pytest.mark.parametrize("name", ENCODINGS)
def test_the_limit_is_exact(name: str) -> None:
    """As much as is allowed is unpacked, and not one byte more."""
    encoding = "deflate" if name == "bare" else name
    assert unpack(ENCODINGS[name](b"x" * MAX_BYTES), encoding) == b"x" * MAX_BYTES
    with pytest.raises(TooLarge):
        unpack(ENCODINGS[name](b"x" * (MAX_BYTES + 1)), encoding)


def test_members_have_a_limit() -> None:
    """Neither many large members nor very many empty ones are unpacked to their end."""
    large = gzip.compress(b"x" * (MAX_BYTES - 10))
    for packed in (large * 2, gzip.compress(b"") * 50_000):
        with pytest.raises(TooLarge):
            unpack(packed, "gzip")


@given(
    content=st.binary(max_size=300), encodings=st.text(max_size=20) | st.sampled_from([p[0] for p in PACKED.values()])
)
def test_any_bytes(content: bytes, encodings: str) -> None:
    """Whatever comes, it is unpacked, or refused as too large or as not so packed; nothing else is raised."""
    with suppress(TooLarge, zlib.error):
        unpack(content, encodings)


async def test_reading_stops_at_the_limit() -> None:
    """Of a body without end no more is read than the limit and the chunk that goes beyond it."""
    given_out = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal given_out
        while True:
            given_out += 1
            yield b"x" * 65_536

    with pytest.raises(TooLarge):
        await read(endless())
    assert given_out == MAX_BYTES // 65_536 + 1


# A process of its own, whose highest memory is told before and after the call.
BOMB = """
import asyncio, gzip, resource, zlib
from tasks.api.client import SortedApi
from pydantic import SecretStr

def bomb():
    engine = zlib.compressobj(9, wbits=31)
    packed = b"".join(engine.compress(b" " * 1_048_576) for _ in range(512)) + engine.flush()
    return gzip.compress(packed, 9) if {twice} else packed

async def serve(reader, writer):
    await reader.readuntil(b"\\r\\n\\r\\n")
    head = b"HTTP/1.1 200 OK\\r\\nContent-Encoding: {encoding}\\r\\nContent-Length: %d\\r\\n\\r\\n" % len(packed)
    writer.write(head + packed)
    await writer.drain()
    await reader.read()
    writer.close()

async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = "http://127.0.0.1:%d" % server.sockets[0].getsockname()[1]
    api = SortedApi(base_url=url, key=SecretStr("k"), version="1", timeout_s=60, connections=1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reply = await api.close("sg_1")
    print(len(packed), reply.failure, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
    await api.aclose()
    server.close()

packed = bomb()
asyncio.run(main())
"""


@pytest.mark.parametrize(("encoding", "twice"), [("gzip", False), ("deflate", False), ("gzip, gzip", True)])
def test_a_bomb(encoding: str, twice: bool) -> None:
    """Half a megabyte that unpacks to half a gigabyte is not a reply, and takes no more memory than a large reply."""
    code = BOMB.format(encoding=encoding, twice=twice)
    if encoding == "deflate":
        code = code.replace("wbits=31", "wbits=15")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=100, check=True)
    packed, failure, mebibytes = done.stdout.split()
    assert int(packed) < 600_000
    assert failure == Failure.TOO_LARGE
    assert int(mebibytes) < 32


async def test_waiting_is_told_before_the_body_hangs() -> None:
    """A Retry-After counts although the body never comes, and for the whole fleet, as with a body."""
    hanging = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 7\r\nContent-Length: 10\r\n\r\n{"
    async with raw_server([hanging], shut=False) as raw:
        reply = await raw.api.close(REF, timeout_s=0.3)
    assert isinstance(reply, NoReply)
    assert (reply.failure, reply.retry_after_s, throttle_s(reply)) == (Failure.TIMEOUT, 7.0, 7.0)
