"""An event's data name its group; its subject does only where the event has no data at all."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from tasks.events.binary_mode import structured
from tasks.events.event import Event, GroupComplete, Rejection, parse
from tasks.events.event_type import EventTypes

EVENT: dict[str, Any] = {"specversion": "1.0", "id": "1", "source": "/w", "type": "t.complete", "subject": "leeds-1"}


def read(event: dict[str, Any], *, use_subject: bool = False) -> Event | Rejection:
    """Parse an event."""
    body = json.dumps(event).encode()
    return parse(body, source="stream", event_id="1-0", types=EventTypes(), use_subject=use_subject)


def in_base64(text: str | bytes) -> str:
    """As `data_base64` hold it."""
    return base64.b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    "data",
    [
        {"data": {"reference": "sg_1"}},
        {"data": '{"reference":"sg_1"}'},
        {"data": ' {"reference": "sg_1", "more": [1]}\n'},
        {"data_base64": in_base64('{"reference":"sg_1"}')},
        {"data": None, "data_base64": in_base64('{"reference":"sg_1"}')},
        {"data": {"reference": "sg_1"}, "reference": "sg_1"},
    ],
)
def test_data_name_the_group_whatever_form_they_have(data: dict[str, Any]) -> None:
    """Data may be an object, its JSON as a string, or that in Base64; the subject beside them never counts."""
    assert read(EVENT | data) == GroupComplete("sg_1", "/w", "1")
    assert read(EVENT | data, use_subject=True) == GroupComplete("sg_1", "/w", "1")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"data": {}}, "no field"),
        ({"data": {"groupReference": "sg_1", "site": 3}}, "the fields groupReference, site"),
        ({"data": {"group": {"reference": "sg_1"}}}, "the field group;"),
        ({"data": {"Reference": "sg_1"}}, "the field Reference;"),
        ({"data": {"reference": None}}, "the field reference;"),
        ({"data": {f"f{n}": n for n in range(20)}}, "f7 and 12 more"),
        ({"data": ["sg_1"]}, "the data are a list"),
        ({"data": [{"reference": "sg_1"}]}, "the data are a list"),
        ({"data": 7}, "the data are a number"),
        ({"data": False}, "the data are true or false"),
        ({"data": ""}, "not JSON"),
        ({"data": "sg_1"}, "not JSON"),
        ({"data": "<group><reference>sg_1</reference></group>", "datacontenttype": "application/xml"}, "not JSON"),
        ({"data": '["sg_1"]'}, "the data are a list"),
        ({"data": '"sg_1"'}, "the data are a string"),
        ({"data": json.dumps(json.dumps({"reference": "sg_1"}))}, "the data are a string"),
        ({"data": '{"groupReference": "sg_1"}'}, "the field groupReference;"),
        ({"data": '{"reference":"sg_1","reference":"sg_2"}'}, "the same key stands twice"),
        ({"data": "[" * 50_000}, "nested too deeply"),
        ({"data_base64": in_base64("<x/>")}, "not JSON"),
        ({"data_base64": in_base64(json.dumps('{"reference": "sg_1"}'))}, "the data are a string"),
        ({"data_base64": in_base64(b"\xff\xfe")}, "not UTF-8 at byte 0"),
        ({"data_base64": "%%%"}, "not Base64"),
        ({"data_base64": "é"}, "not Base64"),
        ({"data_base64": {"reference": "sg_1"}}, "not Base64"),
        ({"data_base64": ""}, "not JSON"),
    ],
)
def test_data_that_name_no_group_are_refused(data: dict[str, Any], words: str) -> None:
    """The reason names what was found, what is accepted, and that the subject is not used; the subject never closes."""
    rejection = read(EVENT | data)
    assert isinstance(rejection, Rejection)
    missing, unused = rejection.problems
    assert missing.startswith("data.reference: missing; ")
    assert words in missing
    assert '"data": {"reference": "sg_1"}' in missing
    assert unused.startswith('subject: "leeds-1" is not used')
    assert read(EVENT | data, use_subject=True) == GroupComplete("leeds-1", "/w", "1")


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"data": {"reference": "a/b"}}, "data.reference:"),
        ({"data": {"reference": 7}}, "data.reference:"),
        ({"data": '{"reference": ["sg_1"]}'}, "data.reference:"),
        ({"data": {"reference": "sg_1"}, "data_base64": in_base64('{"reference":"sg_2"}')}, "data:"),
        ({"data": {"reference": "sg_1"}, "reference": "sg_2"}, "reference:"),
        ({"reference": "sg_2"}, "reference:"),
        ({"reference": 7}, "reference:"),
    ],
)
@pytest.mark.parametrize("use_subject", [False, True])
def test_what_names_two_groups_or_a_wrong_one_is_refused(more: dict[str, Any], field: str, use_subject: bool) -> None:
    """Nobody can tell which group is meant; even an operator's word about the subject does not decide it."""
    rejection = read(EVENT | more, use_subject=use_subject)
    assert isinstance(rejection, Rejection)
    assert rejection.problems[0].startswith(field)


@pytest.mark.parametrize("nothing", [{}, {"data": None}, {"data": None, "data_base64": None}])
def test_a_subject_names_the_group_where_there_are_no_data(nothing: dict[str, Any]) -> None:
    """The subject counts when `data` is absent or null."""
    assert read(EVENT | nothing) == GroupComplete("leeds-1", "/w", "1")


@pytest.mark.parametrize(
    "elsewhere",
    [
        {"dataref": "https://wms.example/7"},
        {"Data": "sg_1"},
        {"dataBase64": in_base64('{"reference":"sg_1"}')},
        {"payload": {"reference": "sg_1"}},
        {"body": '{"reference":"sg_1"}'},
        {"groups": ["sg_1"]},
    ],
)
def test_what_may_be_data_under_another_name_keeps_the_subject_from_counting(elsewhere: dict[str, Any]) -> None:
    """Such an event may mean another group; its field is named, and an operator may use its subject."""
    (name,) = elsewhere
    assert f"there may be data in the field {name};" in str(read(EVENT | elsewhere))
    assert 'subject: "leeds-1" is not used' in str(read(EVENT | elsewhere))
    assert read(EVENT | elsewhere, use_subject=True) == GroupComplete("leeds-1", "/w", "1")
    assert read(EVENT | elsewhere | {"data": {"reference": "sg_7"}}) == GroupComplete("sg_7", "/w", "1")


@pytest.mark.parametrize("attribute", [{"tenant": "leeds"}, {"priority": 3}, {"test": False}, {"payload": None}])
def test_an_extension_attribute_is_not_data(attribute: dict[str, Any]) -> None:
    """Plain text, numbers and truth values are what CloudEvents permits as attributes of any name."""
    assert read(EVENT | attribute) == GroupComplete("leeds-1", "/w", "1")


@pytest.mark.parametrize(
    ("event", "words"),
    [
        (EVENT | {"data": {"reference": "a b"}}, "data.reference: 1 to 128 characters of A-Z a-z 0-9 _ - are needed"),
        ({"reference": ""}, "reference: 1 to 128 characters of A-Z a-z 0-9 _ - are needed"),
        (EVENT | {"type": "x.complete\n", "data": {"reference": "sg_1"}}, "type: it holds a control character"),
        ({"reference": "sg_1", "event": "a\tb"}, "type: the field event is wrong: it holds a control character"),
    ],
)
def test_what_is_wrong_with_a_text_is_told_in_words(event: dict[str, Any], words: str) -> None:
    """The problem is told in words, not as the pattern that the text does not match."""
    assert str(read(event)) == words


def test_without_data_and_subject_the_fields_are_named() -> None:
    """The reason names the fields that the event does have."""
    rejection = read({"specversion": "1.0", "id": "1", "source": "/w", "type": "t.complete", "group": "sg_1"})
    assert str(rejection).startswith(
        "data.reference: missing, and there is no subject either; the event has the fields"
    )
    assert "group" in str(rejection)


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        ({"id": "7", "source": "wms"}, GroupComplete("sg_1", "wms", "7")),
        ({"id": "7"}, GroupComplete("sg_1", "stream", "1-0")),
        ({"source": "wms"}, GroupComplete("sg_1", "stream", "1-0")),
        ({"id": 7}, GroupComplete("sg_1", "stream", "1-0")),
    ],
)
def test_a_bare_event_with_an_identity_keeps_it(event: dict[str, Any], expected: GroupComplete) -> None:
    """Sent twice, it counts once; one of the two alone identifies nothing, and each sending is an event of its own."""
    assert read({"reference": "sg_1"} | event) == expected


@pytest.mark.parametrize("field", ["id", "source"])
@pytest.mark.parametrize("value", [7, None, "", "a\x00", ["x"], {}, "x" * 513])
def test_a_bare_identity_must_be_text(field: str, value: object) -> None:
    """`id` and `source` must be text, as in CloudEvents; else two events might be taken for one."""
    rejection = read({"reference": "sg_1", "id": "7", "source": "wms"} | {field: value})
    assert isinstance(rejection, Rejection)
    assert str(rejection).startswith(f"{field}:")


def test_a_bare_event_without_a_reference_names_its_fields() -> None:
    """The reason names the event's fields, those that are not known, and an example that would be accepted."""
    words = "reference: missing; the event has the field groupReference; closer does not know the field groupReference"
    assert str(read({"groupReference": "sg_1"})) == words + '; accepted is {"reference": "sg_1"}'


ATTRIBUTES = {"specversion": "1.0", "id": "1", "source": "/w", "type": "t.complete"}


@pytest.mark.parametrize(
    ("attributes", "data", "expected"),
    [
        ({}, b'{"reference":"sg_1"}', "sg_1"),
        ({"subject": "leeds-1"}, b'{"reference":"sg_1"}', "sg_1"),
        ({"subject": "sg_1"}, b"", "sg_1"),
        ({"subject": "leeds-1"}, b"\xff", None),
        ({"subject": "leeds-1"}, b"<x/>", None),
        ({"subject": "leeds-1", "data": '{"reference":"sg_2"}'}, b'{"reference":"sg_1"}', None),
        ({"id": ""}, b'{"reference":"sg_1"}', None),
        ({"id": "\udcff"}, b'{"reference":"sg_1"}', None),
        ({"type": "order.cancelled"}, b'{"reference":"sg_1"}', None),
    ],
)
def test_binary_mode_is_read_as_structured_mode(attributes: dict[str, str], data: bytes, expected: str | None) -> None:
    """The same rules hold; data that are not text, or an attribute `data` beside them, do not make it another event."""
    event = parse(structured(ATTRIBUTES | attributes, data), source="s", event_id="1-0", types=EventTypes())
    assert (event.reference if isinstance(event, GroupComplete) else None) == expected
