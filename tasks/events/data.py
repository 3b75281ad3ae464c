"""What an event's data say: the group that they name, or why they name none."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.events.strict_json import fields, found, load

REFERENCE_PATTERN = r"^[A-Za-z0-9_-]{1,128}\Z"
_DATA_NAMES = frozenset({"data", "database64", "dataref"})
_ACCEPTED = 'accepted is "data": {"reference": "sg_1"}'

Reference = Annotated[str, Field(pattern=REFERENCE_PATTERN)]
# CloudEvents 1.0, "Type System": a String holds no control characters and no lone surrogates.
_TEXT_PATTERN = r"^[^\x00-\x1f\x7f-\x9f]+\Z"
Text = Annotated[str, Field(min_length=1, max_length=512, pattern=_TEXT_PATTERN)]
_WORDS = {
    REFERENCE_PATTERN: "1 to 128 characters of A-Z a-z 0-9 _ - are needed",
    _TEXT_PATTERN: "it holds a control character",
}


@dataclass(frozen=True, slots=True)
class Named:
    """The group that data name."""

    reference: str
    custom_reference: str | None = None


@dataclass(frozen=True, slots=True)
class Unnamed:
    """Why data name no group. `silent`: they hold nothing that is called a reference, not even a wrong one."""

    problems: tuple[str, ...]
    silent: bool = False


class _Data(BaseModel):
    model_config = ConfigDict(strict=True, regex_engine="python-re")
    reference: Reference
    custom_reference: Text | None = None


def misplaced(names: list[str]) -> Unnamed:
    """Why an event names no group whose data stand in fields of these names."""
    return Unnamed((f"data.reference: missing; there may be data in {fields(names)}; {_ACCEPTED}",), silent=True)


def group_named(data: Any, data_base64: Any) -> Named | Unnamed:
    """The group that an event's data name; at least one of the two is there.

    `data_base64`, or `data` that are a string, are read as what they hold: JSON text of an object. That is done once,
    never again for what was found inside.
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
    """The fields of a CloudEvent that may hold its data under another name.

    `dataref` says where they are (an extension of CloudEvents). An attribute is neither an object nor a list.
    """
    return [name for name, value in document.items() if value is not None and _may_be_data(name, value)]


def content(data: Any, data_base64: Any) -> Any:
    """What an event's data hold. Raises ValueError when it is neither JSON nor JSON's text."""
    held = data if data_base64 is None else _decoded(data_base64)
    return load(held) if isinstance(held, str | bytes) else held


def problem(detail: Any) -> str:
    """One line for one thing that pydantic found."""
    where = ".".join(str(part) for part in detail["loc"]) or "event"
    return f"{where}: {in_words(detail)}"


def in_words(detail: Any) -> str:
    """What pydantic found, without the pattern that a text does not match: nobody reads it at night."""
    return str(_WORDS.get(detail.get("ctx", {}).get("pattern"), detail["msg"]))


def _validated(value: dict[str, Any]) -> Named | Unnamed:
    try:
        data = _Data.model_validate(value)
    except ValidationError as error:
        return Unnamed(tuple(f"data.{problem(detail)}" for detail in error.errors()))
    return Named(data.reference, data.custom_reference)


def _may_be_data(name: str, value: Any) -> bool:
    if name.lower().replace("_", "") in _DATA_NAMES or isinstance(value, dict | list):
        return True
    return isinstance(value, str) and value.lstrip().startswith(("{", "["))


def _decoded(data_base64: Any) -> bytes:
    if not isinstance(data_base64, str):
        raise ValueError(f"not Base64: {found(data_base64)} stands in data_base64")
    try:
        return base64.b64decode(data_base64, validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("not Base64") from None


def _holds(value: Any) -> str:
    return f"the data hold {found(value)}" if isinstance(value, dict) else f"the data are {found(value)}"
