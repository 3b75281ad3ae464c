"""Whole messages as Hypothesis makes them: envelope, headers, properties and body, each of them sound, odd or junk."""

from __future__ import annotations

import base64
import json
import zlib
from typing import Any

from hypothesis import strategies as st

from tasks.task_message import TASK_NAME
from tests.fuzz.strategies import bodies, references, texts, values

_HEADERS = ["lang", "task", "id", "root_id", "parent_id", "group", "meth", "shadow", "eta", "expires", "retries",
            "timelimit", "argsrepr", "kwargsrepr", "origin", "compression", "stamps", "stamped_headers",
            "ignore_result", "replaced_task_nesting", "redelivered", "clock", "ticket"]  # fmt: skip
_PROPERTIES = ["body_encoding", "delivery_info", "delivery_mode", "delivery_tag", "priority", "correlation_id",
               "reply_to", "expiration"]  # fmt: skip
_EMBED = ["callbacks", "errbacks", "chain", "chord", "id", "delivery_info", "is_eager"]
_PARTS = ["body", "content-type", "content-encoding", "headers", "properties"]
_times = st.sampled_from(["2020-01-01T00:00:00", "2999-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59", "", 0, []])
_odd = values | _times
_depths = st.sampled_from([0, 0, 0, 0, 1, 100, 480, 900, 990, 1_000, 5_000])


def _some(names: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    return st.dictionaries(st.sampled_from(names), _odd, max_size=2)


_references = st.lists(references | texts | values, max_size=3) | references | values
_arguments = st.tuples(_references).map(list) | st.lists(_references, max_size=3) | values
_nothing: st.SearchStrategy[dict[str, Any]] = st.just({})
_by_name = st.builds(lambda given: {"references": given}, _references)
_keywords = _nothing | _by_name | _some(["references", "lock"]) | values
_embeds = _nothing | _some(_EMBED) | values
_version_2 = st.tuples(_arguments, _keywords, _embeds).map(list) | st.lists(_odd, max_size=4)
_version_1 = st.fixed_dictionaries(
    {"task": st.just(TASK_NAME), "id": _odd, "args": _arguments, "kwargs": _keywords},
    optional={"eta": _odd, "expires": _odd},
)


@st.composite
def task_bodies(draw: st.DrawFn) -> bytes:
    """What stands in a task message, however it is written."""
    if draw(st.integers(0, 9)) == 0:
        return draw(bodies)
    depth = draw(_depths)
    body = json.dumps(draw(_version_2 | _version_1)).encode()
    return b"[" * depth + body + b"]" * depth


@st.composite
def envelopes(draw: st.DrawFn) -> bytes:
    """A message as it stands in a list of Redis's, or what a program may take for one."""
    if draw(st.integers(0, 9)) == 0:
        return draw(bodies)
    body = draw(task_bodies())
    headers: dict[str, Any] = {"lang": "py", "task": TASK_NAME, "id": "t-1"} | draw(_some(_HEADERS))
    if draw(st.booleans()) and headers.get("compression"):
        headers["compression"], body = "application/x-gzip", zlib.compress(body)
    properties = {"body_encoding": "base64", "delivery_tag": "x", "delivery_info": {}} | draw(_some(_PROPERTIES))
    whole: dict[str, Any] = {
        "body": base64.b64encode(body).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers,
        "properties": properties,
    } | draw(_some(_PARTS) if draw(st.integers(0, 4)) == 0 else _nothing)
    whole.pop(draw(st.sampled_from(["", "", "", *_PARTS])), None)
    return json.dumps(whole).encode()


_METHODS = ["ping", "stats", "shutdown", "revoke", "cancel_consumer", "rate_limit", "pool_restart", "time_limit"]
_replies = st.fixed_dictionaries(
    {"exchange": st.sampled_from(["reply.celery.pidbox", "celery"]) | _odd, "routing_key": texts | _odd}
)


@st.composite
def control_bodies(draw: st.DrawFn) -> bytes:
    """What is asked on the control channel."""
    if draw(st.integers(0, 9)) == 0:
        return draw(task_bodies())
    asked: dict[str, Any] = {"method": draw(st.sampled_from(_METHODS) | _odd), "arguments": draw(_nothing | _odd)}
    asked |= draw(_some(["destination", "pattern", "matcher", "ticket", "reply_to", "method"]))
    if draw(st.booleans()):
        asked["reply_to"] = draw(_replies)
    depth = draw(_depths)
    return b"[" * depth + json.dumps(asked).encode() + b"]" * depth
