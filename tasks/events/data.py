"""Reads an event's data: which group they name, or why they name none."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationError

from tasks.events.not_before import WithNotBefore
from tasks.events.strict_json import BOM, fields, found, load

REFERENCE_PATTERN = r"^[A-Za-z0-9_-]{1,128}\Z"
REFERENCE_SHAPE = "1 to 128 characters of A-Z a-z 0-9 _ -"
_DATA_NAMES = frozenset({"data", "database64", "dataref"})
_ACCEPTED = 'accepted is "data": {"reference": "sg_1"}'

Reference = Annotated[str, Field(pattern=REFERENCE_PATTERN)]
# A String holds no control characters and no lone surrogates (CloudEvents 1.0, "Type System").
_TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+\Z"
Text = Annotated[str, Field(min_length=1, max_length=512, pattern=_TEXT_PATTERN)]
_WORDS = {
    REFERENCE_PATTERN: f"{REFERENCE_SHAPE} are needed",
    _TEXT_PATTERN: "it holds a control character",
}


@dataclass(frozen=True, slots=True)
class Named:
    """The group that the data name. `reference` has 1 to 128 characters of `A-Z a-z 0-9 _ -`."""

    reference: str
    custom_reference: str | None = None
    not_before_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Why the data name no group.

    `problems`: one `field: problem` line each. `silent`: the data have no field `reference`, not even a wrong one.
    """

    problems: tuple[str, ...]
    silent: bool = False


class _Data(WithNotBefore):
    model_config = ConfigDict(strict=True, regex_engine="python-re")
    reference: Reference
    custom_reference: Text | None = None


def misplaced(names: list[str]) -> Unnamed:
    """Return why an event names no group when its data may stand in the fields `names`, where closer does not look."""
    return Unnamed((f"data.reference: missing; there may be data in {fields(names)}; {_ACCEPTED}",), silent=True)


def group_named(data: Any, data_base64: Any) -> Named | Unnamed:
    """Return the group that an event's data name. At least one of the two arguments is not None.

    `data_base64`, and `data` that are a string, are read as JSON text of an object. That is done once only, and never
    for what is found inside.
    """
    if data is not None and data_base64 is not None:
        return Unnamed(("data: stand beside data_base64; only one of the two may be",))
    try:
        value = content(data, data_base64)
    except ValueError as error:
        return Unnamed((f"data.reference: missing; the data are {error}; {_ACCEPTED}",), silent=True)
    if not isinstance(value, dict) or value.get("reference") is None:
        return Unnamed((f"data.reference: missing; {_holds(value)}; {_ACCEPTED}",), silent=True)
    return _validated(value)


def elsewhere(document: dict[str, Any]) -> list[str]:
    """Return the names of those fields of a CloudEvent that may hold its data.

    These are `data`, `data_base64`, and `dataref` (an extension of CloudEvents) in any spelling, and fields whose value
    is an object or a list, or text that begins like one. An attribute of CloudEvents is neither.
    """
    return [name for name, value in document.items() if value is not None and _may_be_data(name, value)]


def content(data: Any, data_base64: Any) -> Any:
    """Return what an event's data hold. Raises ValueError for a text that is not JSON, and for wrong Base64."""
    held = data if data_base64 is None else _decoded(data_base64)
    return load(held) if isinstance(held, str | bytes) else held


def problem(detail: Any) -> str:
    """Return one `field: problem` line for one error of pydantic's (`ValidationError.errors()`)."""
    where = ".".join(str(part) for part in detail["loc"]) or "event"
    return f"{where}: {in_words(detail)}"


def in_words(detail: Any) -> str:
    """Return pydantic's message. A field that is not there, and a text against a pattern, have words of their own."""
    if detail["type"] == "missing":
        return "missing"
    return str(_WORDS.get(detail.get("ctx", {}).get("pattern"), detail["msg"]))


def _validated(value: dict[str, Any]) -> Named | Unnamed:
    try:
        data = _Data.model_validate(value)
    except ValidationError as error:
        return Unnamed(tuple(f"data.{problem(detail)}" for detail in error.errors()))
    return Named(data.reference, data.custom_reference, data.not_before_ms)


def _may_be_data(name: str, value: Any) -> bool:
    if name.lower().replace("_", "") in _DATA_NAMES or isinstance(value, dict | list):
        return True
    return isinstance(value, str) and value.removeprefix(BOM).lstrip().startswith(("{", "["))


def _decoded(data_base64: Any) -> bytes:
    if not isinstance(data_base64, str):
        raise ValueError(f"not Base64: {found(data_base64)} stands in data_base64")
    try:
        return base64.b64decode(data_base64, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not Base64") from None


def _holds(value: Any) -> str:
    return f"the data hold {found(value)}" if isinstance(value, dict) else f"the data are {found(value)}"
