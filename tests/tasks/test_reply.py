"""Replies: bodies read leniently, where that is safe."""

from __future__ import annotations

from typing import Any

import pytest

from tasks.api.reply import Body, Failure, NoReply, Reply, parse_body


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


TEXT = '{"reference":"sg_1","state":"closed","message":"fermé 🚚"}'
READ = {
    "UTF-8": TEXT.encode(),
    "UTF-8 with a mark": TEXT.encode("utf-8-sig"),
    "UTF-16 with a mark": TEXT.encode("utf-16"),
    "UTF-16, little": TEXT.encode("utf-16-le"),
    "UTF-16, big": TEXT.encode("utf-16-be"),
    "UTF-16, big, with a mark": b"\xfe\xff" + TEXT.encode("utf-16-be"),
    "UTF-32 with a mark": TEXT.encode("utf-32"),
    "Latin-1": TEXT.replace("🚚", "").encode("latin-1"),
    "Windows-1252": TEXT.replace("🚚", "€").encode("cp1252"),
    "blanks round it": b" \r\n\t" + TEXT.encode() + b"\n ",
}
UNREAD = {
    "what follows": TEXT.encode() + b"x",
    "what follows, after a mark": TEXT.encode("utf-8-sig") + b"{}",
    "a mark in the middle": b" " + TEXT.encode("utf-8-sig"),
    "two marks": b"\xef\xbb\xbf" + TEXT.encode("utf-8-sig"),
    "a mark alone": b"\xef\xbb\xbf",
    "a double in UTF-16": '{"reference":"sg_2","reference":"sg_1"}'.encode("utf-16"),
    "half of it in UTF-16": TEXT.encode("utf-16")[:-8],
}


@pytest.mark.parametrize("content", READ.values(), ids=READ)
def test_encodings_are_read(content: bytes) -> None:
    """A body with a byte order mark, or in another encoding than it should be, says what it says."""
    assert parse_body(content) == Body(reference="sg_1", state="closed")


@pytest.mark.parametrize("content", UNREAD.values(), ids=UNREAD)
def test_encodings_excuse_nothing_else(content: bytes) -> None:
    """What is not JSON, or refused for another reason, is so in any encoding."""
    assert parse_body(content) is None


def test_bytes_that_are_no_text_prove_nothing() -> None:
    """A reference with a byte that cannot be read is another reference; the byte is not left out."""
    assert parse_body(b'{"reference":"sg_1\xff"}') == Body(reference="sg_1\ufffd")


def test_child_codes_and_words() -> None:
    """A reply names its codes, and says in a word what came back."""
    reply = Reply(409, body(code="conflict", details=[{"code": "a"}, {}, {"code": "b"}]))
    assert (reply.code, reply.child_codes, str(reply)) == ("conflict", frozenset({"a", "b"}), "HTTP 409 conflict")
    assert (Reply(500).code, Reply(500).child_codes, str(Reply(500))) == (None, frozenset(), "HTTP 500")
    assert str(NoReply(Failure.CUT, "reset")) == "connection_cut"
