"""Corrections of rejected bytes before they are read again; none throws away what may name another group."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from tasks.errors import CloserError

Correct = Callable[[bytes], bytes]


class NotCorrected(CloserError):
    """To set a field would throw something away that may name another group; it takes a correction by hand."""


# Set on several events, these would make them one event, or events of one group or kind.
_OF_ONE_EVENT = frozenset({"reference", "subject", "type", "event", "event_type", "eventType", "id"})
_WHOLE = frozenset({"data", "data_base64"})


def of_one_event(path: str) -> bool:
    """Whether a field tells one event from another, so that it must not be set on several."""
    return path in _WHOLE or path.rpartition(".")[2] in _OF_ONE_EVENT


def set_field(path: str, value: str) -> Correct:
    """A correction that puts a string at a dotted path; `reference` goes where the event's kind has it.

    Bytes that hold no object give way to a bare event. The correction raises NotCorrected where it would throw away an
    array, or something that is broken and may hold more than one event.
    """

    def correct(body: bytes) -> bytes:
        document = _object(body)
        keys = path.split(".")
        if keys == ["reference"] and "specversion" in document:
            keys = ["data", "reference"]
        if keys[0] == "data" and document.get("data") is None:
            document["data"] = _decoded(document.pop("data_base64", None))
        place = document
        for key in keys[:-1]:
            place[key] = place = _object(place.get(key))
        place[keys[-1]] = value
        return json.dumps(document).encode()

    return correct


def corrections(given: Sequence[Correct]) -> Correct:
    """Several corrections, one after the other; none leaves the bytes as they are."""

    def correct(body: bytes) -> bytes:
        for one in given:
            body = one(body)
        return body

    return correct


def _object(value: Any) -> dict[str, Any]:
    """The object that a value is, or that a text holds; an empty one where nothing is thrown away by that."""
    if isinstance(value, str | bytes):
        return _object(_loaded(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value))
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        raise NotCorrected("it holds an array, and to set a field would throw the rest of it away")
    return {}


def _decoded(data_base64: Any) -> Any:
    """What `data_base64` hold, so that what is corrected stands in `data` alone; else what stands there."""
    try:
        return base64.b64decode(data_base64) if isinstance(data_base64, str) else data_base64
    except ValueError:
        return data_base64


def _loaded(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        if b"{" in text or b"[" in text:
            raise NotCorrected("it is broken JSON, and to set a field would throw away all that it names") from None
    return None
