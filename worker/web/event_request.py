"""Reads a request as CloudEvents 1.0 over HTTP: its mode, and the event's bytes as the stream has them.

The source is the "HTTP Protocol Binding for CloudEvents", version 1.0.2, chapter 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from urllib.parse import unquote

from tasks.events import batch
from tasks.events.batch import MAX_BATCH_BYTES
from tasks.events.binary_mode import structured
from tasks.events.event import MAX_EVENT_BYTES
from worker.web.problems import Problem

_ATTRIBUTE = b"ce-"
_CHARSETS = ("", "utf-8", "utf8", "us-ascii")
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"')


class Mode(Enum):
    """How a request carries events. The value: how many bytes its body may have."""

    STRUCTURED = MAX_EVENT_BYTES, "structured"
    BINARY = MAX_EVENT_BYTES, "binary"
    BATCH = MAX_BATCH_BYTES, "batch"
    BARE = MAX_BATCH_BYTES, "bare"  # JSON that may be an array

    @property
    def most(self) -> int:
        """How many bytes the body may have."""
        return self.value[0]


_TYPES = {
    "application/cloudevents+json": Mode.STRUCTURED,
    "application/cloudevents-batch+json": Mode.BATCH,
    "application/json": Mode.BARE,
}


def mode_of(headers: Mapping[str, str]) -> Mode:
    """Return the mode of a request. Raises Problem when it is none that closer reads.

    `headers`: by their names in small letters.
    """
    kind, _, parameters = headers.get("content-type", "").lower().partition(";")
    kind = kind.strip()
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise Problem("wrong-content-type", "the body is packed (Content-Encoding); send it as it is")
    if not kind.startswith("application/cloudevents") and any(name.startswith("ce-") for name in headers):
        return Mode.BINARY
    mode = _TYPES.get(kind)
    if mode is None:
        words = f"{kind[:100]!r} is not a content type of events" if kind else "there is no content type"
        raise Problem("wrong-content-type", words)
    if _charset(parameters) not in _CHARSETS:
        raise Problem("wrong-content-type", "the body must be UTF-8")
    return mode


def as_event(mode: Mode, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return the event, or the array of events, as a program that uses XADD would send it.

    Raises Problem when the body is not what its content type says, or when a header of the event is wrong.
    """
    if mode is Mode.BINARY:
        return structured(_attributes(headers), body)
    if mode is not Mode.BARE and batch.is_array(body) is not (mode is Mode.BATCH):
        wanted = "an array of events" if mode is Mode.BATCH else "one event"
        raise Problem("not-json", f"the content type says that the body is {wanted}, and it is not")
    if len(body) > MAX_EVENT_BYTES and not batch.is_array(body):
        raise Problem("too-large", f"the event has {len(body)} bytes, the limit is {MAX_EVENT_BYTES}")
    return body


def _attributes(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, value in headers:
        if name == b"content-type":
            found["datacontenttype"] = value.decode("latin-1")
        elif name.startswith(_ATTRIBUTE):
            attribute = name[len(_ATTRIBUTE) :].decode("latin-1")
            if attribute in found and attribute != "datacontenttype":
                raise Problem("wrong-headers", f"the header ce-{attribute[:100]} stands twice")
            found.setdefault(attribute, _value(attribute, value))
    return found


def _value(attribute: str, raw: bytes) -> str:
    """Return an attribute's value: without quotes round it, and with %XX read as UTF-8."""
    try:
        text = raw.decode("utf-8")
        quoted = _QUOTED.fullmatch(text)
        return unquote(re.sub(r"\\(.)", r"\1", quoted[1]) if quoted else text, errors="strict")
    except UnicodeDecodeError:
        raise Problem("wrong-headers", f"the header ce-{attribute[:100]} is not UTF-8, plain or as %XX") from None


def _charset(parameters: str) -> str:
    for part in parameters.split(";"):
        name, _, value = part.partition("=")
        if name.strip() == "charset":
            return value.strip().strip('"')
    return ""
