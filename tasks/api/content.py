"""The body of a reply: read up to a limit, and unpacked up to the same limit, however much is packed in it."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

MAX_BYTES = 2 * 1024 * 1024  # the state of a trailer with tens of thousands of shipments fits
_MOST_ENCODINGS = 4
_MOST_MEMBERS = 100
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's numbers for the formats
_MAGIC = b"\x1f\x8b"


class TooLarge(Exception):
    """The body, as it came or unpacked, has more than MAX_BYTES."""

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_BYTES} bytes")


async def read(stream: AsyncIterable[bytes]) -> bytes:
    """The body as it came. Raises TooLarge as soon as it is, and what the stream raises."""
    content = bytearray()
    async for chunk in stream:
        content += chunk
        if len(content) > MAX_BYTES:
            raise TooLarge
    return bytes(content)


def unpack(content: bytes, encodings: str) -> bytes | None:
    """The body without its `Content-Encoding`, or None when that is not known here; one cut short gives what there is.

    Raises TooLarge, with no more than MAX_BYTES unpacked, and zlib.error for what is not so encoded.
    """
    names = [name for part in encodings.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS or not set(names) <= {"gzip", "x-gzip", "deflate"}:
        return None
    for name in reversed(names):
        content = _inflate(content) if name == "deflate" else _gunzip(content)
    return content


def _inflate(content: bytes) -> bytes:
    """What is called `deflate` should be zlib's format; some servers send it bare."""
    try:
        return _unpack_one(content, _ZLIB, MAX_BYTES)[0]
    except zlib.error:
        return _unpack_one(content, _RAW, MAX_BYTES)[0]


def _gunzip(content: bytes) -> bytes:
    """All members of it (RFC 1952, 2.2); what follows the last is ignored."""
    unpacked = b""
    for _ in range(_MOST_MEMBERS):
        member, content = _unpack_one(content, _GZIP, MAX_BYTES - len(unpacked))
        unpacked += member
        if not content.startswith(_MAGIC):
            return unpacked
    raise TooLarge


def _unpack_one(content: bytes, kind: int, most: int) -> tuple[bytes, bytes]:
    """What is packed, and what follows it."""
    engine = zlib.decompressobj(kind)
    unpacked = engine.decompress(content, most + 1)
    if len(unpacked) > most:
        raise TooLarge
    return unpacked, engine.unused_data
