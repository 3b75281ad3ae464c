"""The OpenAPI document. The door is a plain route, so its part is written here."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from tasks.events.schema import event_schema
from worker.web.problems import KINDS, MEDIA_TYPE

_EVENT = {key: value for key, value in event_schema().items() if key != "$schema"}
_BARE = {"type": "object", "required": ["reference"], "properties": {"reference": {"type": "string"}}}
_ANSWERS = {400, 401, 403, 408, 413, 415, 422, 429, 500, 503}


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document: what the framework knows, the door, the token, and problems as answers."""
    made = get_openapi(title=app.title, version=app.version, routes=app.routes)
    made["components"] = made.get("components", {}) | {
        "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "closer_…"}}
    }
    made["security"] = [{"token": []}]
    made["paths"]["/v1/events"] = {"post": _door()}
    for path in made["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)  # the framework's own form of it is not used
            operation["responses"]["default"] = _problem("The request was not done.")
    return made


def _door() -> dict[str, Any]:
    batch = {"type": "array", "minItems": 1, "maxItems": 1000, "items": _EVENT}
    return {
        "summary": "Take events in",
        "operationId": "take_events_in",
        "description": "CloudEvents 1.0: structured, batch, or binary with headers ce-…; or bare JSON.",
        "requestBody": {
            "required": True,
            "content": {
                "application/cloudevents+json": {"schema": _EVENT},
                "application/cloudevents-batch+json": {"schema": batch},
                "application/json": {"schema": {"anyOf": [_BARE, _EVENT, batch]}},
            },
        },
        "responses": {
            "202": {"description": "The store has the events.", "content": {"application/json": {"schema": _TAKEN}}},
            **{str(status): _problem(_titles(status)) for status in sorted(_ANSWERS)},
        },
    }


_TAKEN = {
    "type": "object",
    "required": ["accepted", "rejected", "ids"],
    "properties": {
        "accepted": {"type": "integer"},
        "rejected": {"type": "integer", "description": "Events whose type closes nothing."},
        "ids": {"type": "array", "items": {"type": "string"}},
    },
}


def _problem(description: str) -> dict[str, Any]:
    fields = {"type": "string"}
    schema = {
        "type": "object",
        "required": ["type", "title", "status", "detail"],
        "properties": {"type": fields, "title": fields, "status": {"type": "integer"}, "detail": fields},
    }
    return {"description": description, "content": {MEDIA_TYPE: {"schema": schema}}}


def _titles(status: int) -> str:
    return "; ".join(kind.title for kind in KINDS.values() if kind.status == status)
