"""Replies: bodies read leniently, `Retry-After` in all its forms."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.reply import MAX_RETRY_AFTER_S, Body, Failure, NoReply, Reply, parse_body, parse_retry_after

NOW = datetime(1994, 11, 6, 8, 49, 0, tzinfo=UTC)
IMF, RFC850, ASCTIME = "Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"


def body(**fields: Any) -> Body:
    """A body with these fields."""
    return Body.model_validate(fields)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", Body()),
        (b'{"reference":"sg_1","state":"closed"}', Body(reference="sg_1", state="closed")),
        (b'{"code":"conflict","correlation_id":"c","message":7}', Body(code="conflict", correlation_id="c")),
        (b'{"code":7,"state":null,"correlation_id":[],"reference":null,"message":{}}', Body()),
        (b'{"reference":"sg_1","Reference":"sg_2","STATE":"closed"}', Body(reference="sg_1")),
        (b'{"reference":"sg_1","x":1,"x":2,"big":' + b"9" * 4000 + b"}", Body(reference="sg_1")),
        (b'{"reference":"sg_1","_links":[{"reference":"sg_1"},{"reference":"sg_2"}]}', Body(reference="sg_1")),
        (b'{"details":null}', Body()),
        (b'{"details":{"code":"x"}}', Body()),
        (b'{"details":[null,"x",{"code":"a","property":1},{}]}', body(details=[{"code": "a"}, {}])),
        (b'{"code":"' + b"x" * 500 + b'"}', Body(code="x" * 200)),
        (b'{"code":"","new":{"deep":[1,2]},"big":' + b"9" * 4000 + b"}", Body()),
        (b"", None),
        (b"null", None),
        (b"[]", None),
        (b'"text"', None),
        (b"<html>", None),
        (b"\xff\xfe{}", None),
        (b'{"code":"a"', None),
        (b"[" * 100_000, None),
    ],
)
def test_parse_body(content: bytes, expected: Body | None) -> None:
    """A field of the wrong type counts as absent, what is not a JSON object is not a body."""
    assert parse_body(content) == expected


WRONG = ["12", "1.5", "true", "[]", "{}", '["sg_1"]', '{"id":"sg_1"}']


@pytest.mark.parametrize(
    "content",
    [
        *(f'{{"reference":{wrong},"state":"closed"}}' for wrong in WRONG),
        *(f'{{"reference":"sg_1","state":{wrong}}}' for wrong in WRONG),
        '{"reference":"sg_1","reference":"sg_2","state":"closed"}',
        '{"reference":"sg_2","reference":"sg_1","state":"closed"}',
        '{"reference":"sg_1","reference":"sg_1","state":"closed"}',
        '{"reference":null,"reference":"sg_1","state":"closed"}',
        '{"reference":"sg_2","refer\\u0065nce":"sg_1","state":"closed"}',
        '{"reference":"sg_1","state":"open","state":"closed"}',
        '{"reference":"sg_1","state":"closed","state":null}',
        '{"reference":"sg_1","state":"closed","code":"circuit_open","code":null}',
        '[{"reference":"sg_1","state":"closed"}]',
        '"{\\"reference\\":\\"sg_1\\"}"',
        '{"reference":"sg_1","state":"closed"} {"state":"open"}',
    ],
)
def test_a_body_that_is_wrong_about_its_group_says_nothing(content: str) -> None:
    """A `reference` or `state` of the wrong type, or one that stands twice, makes the whole reply unusable."""
    assert parse_body(content.encode()) is None


@pytest.mark.parametrize(
    ("value", "date", "seconds"),
    [
        (None, None, None),
        ("0", None, 0.0),
        ("120", None, 120.0),
        (" 120 ", None, 120.0),
        ("000000000000000120", None, 120.0),
        ("9" * 400, None, MAX_RETRY_AFTER_S),
        ("-5", None, None),
        ("1.5", None, None),
        ("1e3", None, None),
        ("٣", None, None),
        ("soon", None, None),
        ("", None, None),
        (IMF, None, 37.0),
        (RFC850, None, 37.0),
        (ASCTIME, None, 37.0),
        ("Sun, 06 Nov 1994 09:49:37 +0100", None, 37.0),
        ("Sun, 06 Nov 1994 08:00:00 GMT", None, 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", None, MAX_RETRY_AFTER_S),
        ("Sun, 99 Nov 1994 08:49:37 GMT", None, None),
        # The API's clock is an hour ahead, or a day behind: its own Date tells how long it meant.
        (IMF, "Sun, 06 Nov 1994 08:49:30 GMT", 7.0),
        ("Sun, 06 Nov 1994 09:49:37 GMT", "Sun, 06 Nov 1994 09:49:07 GMT", 30.0),
        ("Sat, 05 Nov 1994 08:49:37 GMT", "Sat, 05 Nov 1994 08:48:37 GMT", 60.0),
        (IMF, "no date", 37.0),
        ("30", "Sun, 06 Nov 2094 08:49:30 GMT", 30.0),
    ],
)
def test_parse_retry_after(value: str | None, date: str | None, seconds: float | None) -> None:
    """Seconds and all three forms of an HTTP date are read, garbage is not; their clock counts before ours."""
    assert parse_retry_after(value, date, NOW) == seconds


def test_child_codes_and_words() -> None:
    """A reply names its codes, and says in a word what came back."""
    reply = Reply(409, body(code="conflict", details=[{"code": "a"}, {}, {"code": "b"}]))
    assert (reply.code, reply.child_codes, str(reply)) == ("conflict", frozenset({"a", "b"}), "HTTP 409 conflict")
    assert (Reply(500).code, Reply(500).child_codes, str(Reply(500))) == (None, frozenset(), "HTTP 500")
    assert str(NoReply(Failure.CUT, "reset")) == "connection_cut"
