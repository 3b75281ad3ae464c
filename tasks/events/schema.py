"""The JSON Schema of the event that a new program should send: a CloudEvent whose data name the group.

It is made of the rules that `parse` goes by. What is valid by it is an event, if its type is one that closes.
closer reads further forms too, see docs/events.md.
"""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, TypeAdapter

from tasks.events.data import Reference, Text

_PATTERNS = ConfigDict(regex_engine="python-re")
_TIME = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?(Z|[+-][0-9]{2}:[0-9]{2})$(?!\n)",
}
_NOT_BESIDE = {"type": "null"}


def event_schema() -> dict[str, Any]:
    """Return the schema, for draft 2020-12 of JSON Schema."""
    text = _of(Text)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A shipment group is complete",
        "description": "CloudEvents 1.0 in structured mode, at most 64 KiB.",
        "type": "object",
        "required": ["specversion", "id", "source", "type", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": text | {"description": "With the source it identifies the event: sent twice, it counts once."},
            "source": text | {"description": "The system that sends it."},
            "type": text | {"description": "It must say that the group is complete, as in com.acme.group.complete."},
            "time": text | {"description": "When it happened, RFC 3339."},
            "subject": {"type": ["string", "null"], "description": "It is not used beside data."},
            "data": _data(text),
            "closeafter": _TIME | {"description": "No call is made before then, RFC 3339 with a zone."},
            "data_base64": _NOT_BESIDE,
            "reference": _NOT_BESIDE,
        },
    }


def _data(text: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "required": ["reference"],
        "properties": {
            "reference": _of(Reference) | {"description": "The group's reference at Sorted, such as sg_1."},
            "custom_reference": text | {"description": "Your own name of the group; operators see it."},
        },
    }


def _of(kind: Any) -> dict[str, Any]:
    """Return the schema of a text of ours. JSON Schema knows no \\Z, and in Python a line break may follow $."""
    found = TypeAdapter(kind, config=_PATTERNS).json_schema()
    return found | {"pattern": found["pattern"].removesuffix(r"\Z") + r"$(?!\n)"}
