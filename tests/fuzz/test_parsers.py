"""Fuzz tests of the parsers: whatever comes, they answer."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from tasks.api.reply import Body, parse_body
from tasks.api.retry_after import MAX_RETRY_AFTER_S, parse_retry_after
from tasks.events import batch
from tasks.events.event import GroupComplete, Rejection, parse
from tasks.events.event_type import EventTypes
from tasks.history import Attempt
from tasks.ledger.codec import pack_attempt, unpack_attempt
from tests.fuzz.strategies import batches, bodies, http_dates, texts, valid_events

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@given(bodies)
@example(b'{"reference":"sg_1","custom_reference":"\xed\xa0\x80"}')
@example(b'{"specversion":"1.0","id":"\\ud800","source":"s","type":"t","subject":"sg_1"}')
@example(b'{"specversion":"1.0","id":"1","source":"w","type":"g","subject":"","data":true}')
@example(b'{"specversion":"1.0","id":"1","source":"w","type":"\xe2\x80\xa8"}')
def test_events(body: bytes) -> None:
    """`parse` never raises; a reference is always a safe path segment; every problem says where it is."""
    event = parse(body, source="stream", event_id="1-0", types=EventTypes())
    if isinstance(event, GroupComplete):
        assert re.fullmatch("[A-Za-z0-9_-]{1,128}", event.reference)
    else:
        assert isinstance(event, Rejection)
        assert event.problems
        assert all(re.match(r"[a-z_.]+: \S", problem) for problem in event.problems), event


@given(batches | bodies)
@example(b'[{"reference":"sg_1"},{"reference":"sg_2"}]')
@example(b"[" * 100_000)
@example(b'[{"reference":"sg_1"}' + b" " * 100_000)
def test_batches(body: bytes) -> None:
    """`batch.read` never raises; no byte is lost: what was split is the same JSON, each element with its own name."""
    elements = batch.read(body, source="stream", event_id="1-0", types=EventTypes())
    assert len({element.identity for element in elements}) == len(elements) > 0
    if elements[0].identity == "1-0":
        assert [element.body for element in elements] == [body]
        return
    assert (
        json.loads(b"[" + b",".join(element.body for element in elements) + b"]", parse_int=str)
        == json.loads(body, parse_int=str)
        or b"NaN" in body
    )
    for element in elements:
        alone = parse(element.body, source="stream", event_id=element.identity, types=EventTypes())
        assert alone == element.event


@given(bodies)
def test_the_subject_never_wins_over_data(body: bytes) -> None:
    """Whatever form the data have, a group that only the subject names is not closed while there are any."""
    event = parse(body, source="stream", event_id="1-0", types=EventTypes())
    try:
        document = json.loads(body)
    except ValueError:
        return
    if isinstance(event, GroupComplete) and isinstance(document, dict) and document.get("data") is not None:
        assert "specversion" not in document or event.reference in str(document["data"])


@given(valid_events)
def test_valid_events(event: dict[str, Any]) -> None:
    """An event that keeps to the rules is accepted, its reference unchanged."""
    parsed = parse(json.dumps(event).encode(), source="stream", event_id="1-0", types=EventTypes())
    data = event.get("data", base64.b64decode(str(event.get("data_base64", ""))))
    held = json.loads(data) if isinstance(data, str | bytes) and data else data or event
    named = held.get("reference", event.get("subject"))
    assert isinstance(parsed, GroupComplete)
    assert parsed.reference == named


@given(bodies)
@example(b"[" * 100_000)
@example(b'{"x":' + b"9" * 5000 + b"}")
def test_reply_bodies(content: bytes) -> None:
    """`parse_body` never raises, and gives a body with short texts, or None."""
    body = parse_body(content)
    assert body is None or isinstance(body, Body)
    if body is not None:
        fields = (body.reference, body.state, body.code, body.correlation_id)
        assert all(text is None or 0 < len(text) <= 200 for text in fields)


@given(texts | http_dates | st.integers().map(str), st.none() | texts | http_dates)
@example("Mon, 01 Jan 0001 00:00:00 +2359", "Fri, 31 Dec 9999 23:59:59 -2359")
def test_retry_after(value: str, date: str | None) -> None:
    """`parse_retry_after` never raises; a wait is never negative and never over a year."""
    wait_s = parse_retry_after(value, date, NOW)
    assert wait_s is None or 0 <= wait_s <= MAX_RETRY_AFTER_S


@given(st.integers(0, int(MAX_RETRY_AFTER_S)), st.integers(0, 20))
@example(5, 20)
def test_retry_after_in_seconds_is_never_undercut(seconds: int, zeros: int) -> None:
    """Seconds are read as they are, however many zeros lead them."""
    assert parse_retry_after("0" * zeros + str(seconds), None, NOW) == seconds


@given(st.builds(Attempt, at_ms=st.integers(0, 2**52), worker=texts, trigger=texts, status=st.none() | st.integers(0),
                 code=st.none() | texts, correlation_id=st.none() | texts, duration_ms=st.none() | st.integers(0),
                 verdict=texts, decision=texts, detail=texts))  # fmt: skip
def test_attempts(attempt: Attempt) -> None:
    """An attempt packs into one printable line and unpacks again, whatever an API or a host name put into it."""
    line = pack_attempt(attempt)
    assert line.isprintable()
    again = unpack_attempt(line)
    assert pack_attempt(again) == line
    assert (again.at_ms, again.status, again.duration_ms) == (attempt.at_ms, attempt.status, attempt.duration_ms)
