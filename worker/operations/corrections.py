"""Corrects rejected bytes before they are read again.

No correction throws away anything that may name another group, because that group would never be closed.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from typing import Any

from tasks.errors import CloserError

Correct = Callable[[bytes], bytes]


class NotCorrected(CloserError):
    """Setting the field would throw away something that may name another group. It needs a correction by hand."""


# Setting one of these on several events would make them the same event, or events of one group or type.
_OF_ONE_EVENT = frozenset({"reference", "subject", "type", "event", "event_type", "eventType", "id"})
_WHOLE = frozenset({"data", "data_base64"})


def of_one_event(path: str) -> bool:
    """Return whether a field tells one event from another. Such a field must not be set on several events."""
    return path in _WHOLE or path.rpartition(".")[2] in _OF_ONE_EVENT


def set_field(path: str, value: str) -> Correct:
    """Return a correction that puts the string `value` at a dotted path.

    The path `reference` means the place that the kind of event has for it: `data.reference` in a CloudEvent. Bytes that
    hold no object become a bare event. The correction raises NotCorrected for an array, and for broken JSON that may
    hold more than one event.
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
    """Return one correction that does these one after the other. Without any it leaves the bytes as they are."""

    def correct(body: bytes) -> bytes:
        for one in given:
            body = one(body)
        return body

    return correct


def _object(value: Any) -> dict[str, Any]:
    """Return the object that a value is, or that a text holds, or an empty one for a value that cannot name a group.

    Raises NotCorrected for all others.
    """
    if isinstance(value, str | bytes):
        return _object(_loaded(value.encode("utf-8", "surrogatepass") if isinstance(value, str) else value))
    if isinstance(value, dict):
        return value
    if isinstance(value, list):
        raise NotCorrected("it holds an array, and to set a field would throw the rest of it away")
    return {}


def _decoded(data_base64: Any) -> Any:
    """Return the bytes that `data_base64` holds, so that the corrected data stand in `data` alone.

    What is not Base64 is returned as it is.
    """
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
