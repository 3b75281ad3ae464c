"""What comes from outside, as Hypothesis makes it: texts, JSON, events and mutated events, replies of the API.

Hypothesis takes far longer to make an input than we take to read it, so these are built of what it makes quickly:
`text` with an alphabet instead of a pattern, two levels of JSON instead of any number, and strategies that are made
once, not at each draw, which takes as long again.
"""

from __future__ import annotations

import base64
import json
import string
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

from hypothesis import strategies as st

from tasks.api.retry_after import MAX_RETRY_AFTER_S

NASTY = [
    "",
    "\x00",
    "\ud800",
    "\u2028",
    "\x1b[31m",
    "a\nb",
    "|",
    "\ufeff",
    "é" * 600,
    "sg_1",
    "x" * 129,
    "NaN",
    "../..",
]
texts = st.text(st.characters(), max_size=40) | st.sampled_from(NASTY)
scalars: st.SearchStrategy[Any] = (
    st.sampled_from([None, True, False, 0, -1, 0.5, float("nan"), [], {}]) | st.integers() | st.floats() | texts
)
_nested = st.lists(scalars, max_size=2) | st.dictionaries(texts, scalars, max_size=2)
values = scalars | st.lists(scalars | _nested, max_size=2) | st.dictionaries(texts, scalars | _nested, max_size=2)
references = st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=128)
FIELDS = ["specversion", "id", "source", "type", "subject", "time", "traceparent", "data", "data_base64", "reference",
          "event", "event_type", "eventType"]  # fmt: skip
TYPES = ["group.complete", "ShipmentGroupCompleted.v1", "order.cancelled", "group.incomplete", "not.complete", "", 7]


# Where bytes are damaged: after how many, what comes instead, of how many.
_damages = st.tuples(st.integers(0, 400), st.binary(max_size=4), st.integers(0, 3))
_seldom = st.sampled_from([False] * 9 + [True])


def _event(reference: str, form: str) -> dict[str, Any]:
    if form == "bare":
        return {"reference": reference}
    event: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "wms", "type": "group.complete"}
    if form == "subject":
        return event | {"subject": reference}
    text = json.dumps({"reference": reference})
    held = {"string": text, "base64": base64.b64encode(text.encode()).decode(), "data": {"reference": reference}}[form]
    return event | {"data_base64" if form == "base64" else "data": held}


# A CloudEvent that names a group, or a bare event.
valid_events = st.builds(_event, references, st.sampled_from(["bare", "subject", "data", "string", "base64"]))
_replaced = st.dictionaries(st.sampled_from(FIELDS), values, max_size=2)
_typed = st.dictionaries(st.sampled_from(["type", "event", "eventType"]), st.sampled_from(TYPES), max_size=1)
_removed = st.sampled_from(["", "", *FIELDS])
_in_data = st.dictionaries(st.sampled_from(["custom_reference", "reference"]), texts, max_size=1)


@st.composite
def _mutated(draw: st.DrawFn) -> bytes:
    event = draw(valid_events) | draw(_replaced) | draw(_typed)
    event.pop(draw(_removed), None)
    if isinstance(event.get("data"), dict):
        event["data"] = event["data"] | draw(_in_data)
    body = json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    return _damaged(body, *draw(_damages)) if draw(_seldom) else body


def _damaged(body: bytes, after: int, other: bytes, instead_of: int) -> bytes:
    return body[:after] + other + body[after + instead_of :]


def _dumped(value: Any) -> bytes:
    return json.dumps(value).encode()


def _array(elements: list[bytes], between: bytes) -> bytes:
    return b"[" + between.join(elements) + b"]"


# Valid events with fields replaced, added or taken away, and perhaps given other bytes.
mutated_events = _mutated()
bodies = st.binary(max_size=300) | values.map(_dumped) | mutated_events
# Arrays of all of that, and what is almost one.
batches = st.builds(
    _array, st.lists(mutated_events | bodies, max_size=3), st.sampled_from([b",", b" ,\n", b"", b",,"])
)  # fmt: skip

# Replies ---------------------------------------------------------------------------------------------------------
REF = "sg_1"
http_dates = st.datetimes(datetime(1970, 1, 1), datetime(2068, 1, 1)).map(  # noqa: DTZ001 - tzinfo follows
    lambda at: format_datetime(at.replace(tzinfo=UTC, microsecond=0), usegmt=True)
)
_codes = st.sampled_from(
    ["conflict", "not_found", "validation_error", "invalid_reference_format", "shipment_processing", "header", None, 1]
)
_documented = st.fixed_dictionaries(
    {
        "reference": st.sampled_from([REF, REF, REF, "sg_2", "", None, 1, [REF]]),
        "state": st.sampled_from(["open", "locked", "closed", "CLOSED", "archived", "", None, 1]),
        "code": _codes,
        "details": st.none() | st.lists(_codes.map(lambda code: {"code": code}), max_size=2) | scalars,
    }
)
_contents = st.one_of(_documented.map(_dumped), _documented.map(_dumped), values.map(_dumped), st.binary())
_statuses = (
    st.sampled_from([200, 200, 200, 202, 204, 302, 304, 400, 401, 403, 404, 408, 409, 409, 410, 429, 429, 500, 503])
    | st.integers(200, 599)
)  # fmt: skip
Headers = list[tuple[bytes, bytes]]
_SENT = datetime(2026, 11, 22, tzinfo=UTC)


def _dates(told_s: int) -> tuple[Headers, float]:
    sent, until = (format_datetime(at, usegmt=True).encode() for at in (_SENT, _SENT + timedelta(seconds=told_s)))
    return [(b"Date", sent), (b"Retry-After", until)], told_s


def _nasty(value: bytes) -> tuple[Headers, float]:
    return [(b"Retry-After", value.translate(None, b"\r\n\0"))], 0.0


# What a reply tells about waiting, in any form, and how many seconds it means.
_seconds = st.integers(0, 2000) | st.integers(0, int(MAX_RETRY_AFTER_S))
_waits: st.SearchStrategy[tuple[Headers, float]] = st.one_of(
    st.just(([], 0.0)),
    _seconds.map(lambda told_s: ([(b"retry-after", b"%d" % told_s)], told_s)),
    _seconds.map(lambda told_s: ([(b"Retry-After", b"1"), (b"Retry-After", b'"%d.0", soon' % told_s)], told_s)),
    _seconds.map(_dates),
    (st.binary(max_size=30) | http_dates.map(str.encode)).map(_nasty),
)


@dataclass(frozen=True)
class RawReply:
    """A reply as it comes over the wire; `told_s`: how long it tells to wait at least, as we meant it."""

    status: int
    content: bytes
    headers: Headers
    told_s: float


@st.composite
def _replies(draw: st.DrawFn) -> RawReply:
    headers, told_s = draw(_waits)
    content = draw(_contents)
    if draw(_seldom):
        content = _damaged(content, *draw(_damages))
    if draw(_seldom):
        headers = [*headers, (b"Content-Encoding", b"gzip")]  # the body cannot be read then
    return RawReply(draw(_statuses), content, headers, told_s)


# Documented replies with fields that lack or lie, other programs' bodies, any bytes; not what they say they are.
replies = _replies()
