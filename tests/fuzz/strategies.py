"""What comes from outside, as Hypothesis makes it: texts, JSON, events, mutated events."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import strategies as st

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
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=12
)
references = st.from_regex(r"\A[A-Za-z0-9_-]{1,128}\Z")
FIELDS = ["specversion", "id", "source", "type", "subject", "time", "traceparent", "data", "reference"]


@st.composite
def valid_events(draw: st.DrawFn) -> dict[str, Any]:
    """A CloudEvent that names a group, or a bare event."""
    reference = draw(references)
    if draw(st.booleans()):
        return {"reference": reference}
    event: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "wms", "type": "group.complete"}
    named = {"subject": reference} if draw(st.booleans()) else {"data": {"reference": reference}}
    return event | named


@st.composite
def mutated_events(draw: st.DrawFn) -> bytes:
    """A valid event with fields replaced, added or taken away, and perhaps cut or given other bytes."""
    event = draw(valid_events())
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=3)):
        event[name] = draw(values)
    for name in draw(st.lists(st.sampled_from(FIELDS), max_size=1)):
        event.pop(name, None)
    if isinstance(event.get("data"), dict):
        event["data"] = event["data"] | draw(st.dictionaries(st.sampled_from(["custom_reference", "reference"]), texts))
    body = json.dumps(event, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass")
    if draw(st.integers(0, 9)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=4)) + body[at + draw(st.integers(0, 3)) :]
    return body


bodies = st.binary(max_size=300) | values.map(lambda value: json.dumps(value).encode()) | mutated_events()
