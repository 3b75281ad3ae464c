"""Takes a broker's message apart: foreign bytes come in, headers and an unpacked body go out.

Size, depth and unpacked size are limited here, because any program may write to the queue.
"""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tasks.events.strict_json import BOM

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # before and after unpacking; more than 100,000 references fit
_LZMA_MEMORY = 64 * 1024 * 1024


class Unreadable(ValueError):
    """These bytes are not a message, or not one that may be read. The text says why, without repeating the bytes."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message with its headers and its body apart. The body is decompressed and not parsed yet."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    content_type: str = ""

    def whole(self) -> bytes:
        """Return headers and body as one JSON document. It is what is kept of another program's message."""
        document = {"headers": self.headers, "body": self.body.decode("utf-8", "backslashreplace")}
        return json.dumps(document, default=str).encode()


def from_redis(raw: bytes) -> Envelope:
    """Read a message in the form in which kombu's Redis transport writes it: one JSON document.

    Raises Unreadable when it is not such a document, is larger than 16 MiB, or cannot be unpacked.
    """
    document = load_json(raw)
    if not isinstance(document, dict) or not isinstance(document.get("body"), str):
        raise Unreadable("it is not a message of Celery's; events belong on the stream")
    properties = document.get("properties")
    encoding = properties.get("body_encoding") if isinstance(properties, dict) else None
    body = document["body"].encode("utf-8", "surrogatepass")
    if encoding == "base64":
        body = _from_base64(body)
    return unpacked(body, document.get("headers"), document.get("content-type"))


def unpacked(body: bytes | str, headers: Any, content_type: Any) -> Envelope:
    """Check the size of a message's body, decompress it, and return it with its headers.

    `headers` and `content_type` may be of any type; a wrong one counts as missing. Raises Unreadable when the body is
    too large, or compressed in an unknown way.
    """
    headers = headers if isinstance(headers, dict) else {}
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
    check_size(raw)
    if compression := headers.get("compression"):
        raw = _decompressed(raw, str(compression)[:100])
    return Envelope(raw, headers, content_type if isinstance(content_type, str) else "")


def load_json(raw: bytes) -> Any:
    """Parse at most 16 MiB of JSON in UTF-8. Raises Unreadable for any other bytes, and for JSON nested too deeply."""
    check_size(raw)
    try:
        return json.loads(raw.decode("utf-8").removeprefix(BOM))
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except (ValueError, MemoryError) as error:  # among them UnicodeDecodeError, and numbers of too many digits
        raise Unreadable(f"it is not JSON ({str(error)[:100]})") from None


def check_size(raw: bytes) -> None:
    """Raises Unreadable when there are more than 16 MiB."""
    if len(raw) > MAX_MESSAGE_BYTES:
        raise Unreadable(f"it has {len(raw)} bytes, the limit is {MAX_MESSAGE_BYTES}")


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        raise Unreadable("its body is not base64") from None


def _decompressed(packed: bytes, compression: str) -> bytes:
    """Unpack at most one byte more than a message may have, because a few bytes can unfold into gigabytes."""
    make = _UNPACKERS.get(compression)
    if make is None:
        raise Unreadable(f"it is compressed in a way that closer does not read ({compression})")
    try:
        raw = make(packed, MAX_MESSAGE_BYTES + 1)
    except (ValueError, OSError, EOFError, zlib.error, lzma.LZMAError, MemoryError):
        raise Unreadable(f"its body cannot be decompressed ({compression})") from None
    check_size(raw)
    return raw


def _unpack_lzma(packed: bytes, most: int) -> bytes:
    return lzma.LZMADecompressor(memlimit=_LZMA_MEMORY).decompress(packed, most)


# The names are those that kombu writes into the header `compression`.
_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {
    "application/x-gzip": lambda packed, most: zlib.decompressobj().decompress(packed, most),
    "application/x-bz2": lambda packed, most: bz2.BZ2Decompressor().decompress(packed, most),
    "application/x-lzma": _unpack_lzma,
}
