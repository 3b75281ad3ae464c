"""A message as a broker carries it: foreign bytes in, headers and an unpacked body out, within limits."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MAX_MESSAGE_BYTES = 16 * 1024 * 1024  # packed and unpacked: it holds more than 100,000 references
_LZMA_MEMORY = 64 * 1024 * 1024


class Unreadable(ValueError):
    """These bytes are not a message, or not one that may be read; the text says why."""


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message whose parts are told apart, and whose body is not yet read."""

    body: bytes
    headers: dict[str, Any] = field(default_factory=dict)
    content_type: str = ""

    def whole(self) -> bytes:
        """Headers and body in one JSON document: what is kept of a message that belongs to another program."""
        document = {"headers": self.headers, "body": self.body.decode("utf-8", "backslashreplace")}
        return json.dumps(document, default=str).encode()


def from_redis(raw: bytes) -> Envelope:
    """Read a message as kombu puts it into a list or publishes it. Raises Unreadable."""
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
    """The parts of a message, checked and decompressed. Raises Unreadable."""
    headers = headers if isinstance(headers, dict) else {}
    raw = body.encode("utf-8", "surrogatepass") if isinstance(body, str) else bytes(body)
    check_size(raw)
    if compression := headers.get("compression"):
        raw = _decompressed(raw, str(compression)[:100])
    return Envelope(raw, headers, content_type if isinstance(content_type, str) else "")


def load_json(raw: bytes) -> Any:
    """Parse JSON of bounded size. Raises Unreadable, whatever the bytes hold."""
    check_size(raw)
    try:
        return json.loads(raw.decode("utf-8"))
    except RecursionError:
        raise Unreadable("it is nested too deeply") from None
    except (ValueError, MemoryError) as error:  # among them UnicodeDecodeError, and numbers of too many digits
        raise Unreadable(f"it is not JSON ({str(error)[:100]})") from None


def check_size(raw: bytes) -> None:
    """Raises Unreadable when there are more bytes than a message may have."""
    if len(raw) > MAX_MESSAGE_BYTES:
        raise Unreadable(f"it has {len(raw)} bytes, the limit is {MAX_MESSAGE_BYTES}")


def _from_base64(text: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        raise Unreadable("its body is not base64") from None


def _decompressed(packed: bytes, compression: str) -> bytes:
    """Unpack at most what a message may have: a few bytes can unfold into all the memory that there is."""
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


# By the names that kombu writes into the header.
_UNPACKERS: dict[str, Callable[[bytes, int], bytes]] = {
    "application/x-gzip": lambda packed, most: zlib.decompressobj().decompress(packed, most),
    "application/x-bz2": lambda packed, most: bz2.BZ2Decompressor().decompress(packed, most),
    "application/x-lzma": _unpack_lzma,
}
