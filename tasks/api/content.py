"""Reads the body of a reply up to a limit, and unpacks it up to the same limit.

A few packed bytes can unfold into gigabytes, so the limit is checked while unpacking.
"""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

MAX_BYTES = 2 * 1024 * 1024  # the state of a group with tens of thousands of shipments fits
_MOST_ENCODINGS = 4
_MOST_MEMBERS = 100
_GZIP, _ZLIB, _RAW = 31, 15, -15  # zlib's numbers for the formats
_MAGIC = b"\x1f\x8b"


class TooLarge(Exception):
    """The body has more than MAX_BYTES, as it came or unpacked."""

    def __init__(self) -> None:
        super().__init__(f"more than {MAX_BYTES} bytes")


async def read(stream: AsyncIterable[bytes]) -> bytes:
    """Return the body as it came.

    Raises TooLarge as soon as more than MAX_BYTES have come, and whatever the stream raises.
    """
    content = bytearray()
    async for chunk in stream:
        content += chunk
        if len(content) > MAX_BYTES:
            raise TooLarge
    return bytes(content)


def unpack(content: bytes, encodings: str) -> bytes | None:
    """Return the body without its `Content-Encoding`, or None when that encoding is not known here.

    `encodings`: the header's value, in which the last encoding is the outermost. A body that was cut short gives what
    can be unpacked. Raises TooLarge, after at most MAX_BYTES, and zlib.error for bytes that are not so encoded.
    """
    names = [name for part in encodings.lower().split(",") if (name := part.strip()) not in ("", "identity")]
    if len(names) > _MOST_ENCODINGS or not set(names) <= {"gzip", "x-gzip", "deflate"}:
        return None
    for name in reversed(names):
        content = _inflate(content) if name == "deflate" else _gunzip(content)
    return content


def _inflate(content: bytes) -> bytes:
    """Unpack `deflate`. It means zlib's format (RFC 9110, 8.4.1.2), but some servers send raw deflate data."""
    try:
        return _unpack_one(content, _ZLIB, MAX_BYTES)[0]
    except zlib.error:
        return _unpack_one(content, _RAW, MAX_BYTES)[0]


def _gunzip(content: bytes) -> bytes:
    """Unpack all members of gzip data (RFC 1952, 2.2), at most 100. Bytes after the last member are ignored."""
    unpacked = b""
    for _ in range(_MOST_MEMBERS):
        member, content = _unpack_one(content, _GZIP, MAX_BYTES - len(unpacked))
        unpacked += member
        if not content.startswith(_MAGIC):
            return unpacked
    raise TooLarge


def _unpack_one(content: bytes, kind: int, most: int) -> tuple[bytes, bytes]:
    """Return what is unpacked, and the bytes that follow it. Raises TooLarge for more than `most` bytes."""
    engine = zlib.decompressobj(kind)
    unpacked = engine.decompress(content, most + 1)
    if len(unpacked) > most:
        raise TooLarge
    return unpacked, engine.unused_data
