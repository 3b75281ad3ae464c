"""The event's JSON Schema: what is valid by it is an event, and the file in docs/ is made of the code."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft202012Validator

from tasks.events.event import GroupComplete, parse
from tasks.events.event_type import EventTypes
from tasks.events.schema import event_schema
from tasks.events.strict_json import load
from tests.fuzz.strategies import mutated_events
from tests.support import cloud_event

FILE = Path(__file__).parents[2] / "docs" / "event.schema.json"
VALIDATOR = Draft202012Validator(event_schema())


def test_the_file_is_made_of_the_code() -> None:
    """`python -m json.tool` of the schema is docs/event.schema.json; it is a schema."""
    Draft202012Validator.check_schema(event_schema())
    assert FILE.read_text() == json.dumps(event_schema(), indent=2) + "\n"


def is_event(body: bytes) -> bool:
    """Whether closer takes it for an event, of whatever type."""
    return isinstance(parse(body, source="s", event_id="e", types=EventTypes.of("*")), GroupComplete)


@given(body=mutated_events)
def test_what_is_valid_is_an_event(body: bytes) -> None:
    """Whatever else it holds."""
    try:
        document = load(body)
    except ValueError:
        return
    if VALIDATOR.is_valid(document):
        assert is_event(body)


@pytest.mark.parametrize(
    ("more", "valid"),
    [
        ({}, True),
        ({"time": "2026-01-31T03:00:00Z", "subject": "cage 5", "anything": {"else": 1}}, True),
        ({"data": {"reference": "sg_1", "custom_reference": "cage 5", "more": 1}}, True),
        ({"specversion": "0.3"}, False),
        ({"id": ""}, False),
        ({"source": "a\nb"}, False),
        ({"type": "x" * 513}, False),
        ({"data": None}, False),
        ({"data": {}}, False),
        ({"data": {"reference": "a b"}}, False),
        ({"data": {"reference": "sg_1\n"}}, False),
        ({"data": {"reference": "x" * 129}}, False),
        ({"data": {"reference": "sg_1", "custom_reference": "\x00"}}, False),
        ({"data_base64": "e30="}, False),
        ({"reference": "sg_2"}, False),
    ],
)
def test_what_is_valid(more: dict[str, Any], valid: bool) -> None:
    """The schema refuses what closer refuses."""
    document = json.loads(cloud_event("sg_1")) | more
    assert VALIDATOR.is_valid(document) is valid
    assert is_event(json.dumps(document).encode()) is valid
