"""Reads JSON strictly, and says in words what is wrong and what was found instead."""

from __future__ import annotations

import json
from typing import Any

_NAMED = 8
_NAME_LENGTH = 40
BOM = "\ufeff"  # RFC 8259, 8.1: a parser may ignore one before the text; Windows programs write it


def load(text: bytes | str) -> Any:
    """Return one JSON value. A byte order mark before it does not count.

    Raises ValueError that says what is wrong and where: not UTF-8, not JSON, a key that stands twice in one object, NaN
    or Infinity, too deep, or a number with too many digits.
    """
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(decoded.removeprefix(BOM), object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(wrong(error)) from None


def wrong(error: Exception) -> str:
    """Return in words why a text is not JSON. `error`: what the parser raised."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "a number has too many digits" if "int_max_str_digits" in str(error) else str(error)[:200]


def found(value: Any) -> str:
    """Return in words what a value is; for an object, which fields it has."""
    match value:
        case dict():
            return fields(value)
        case list():
            return "a list"
        case str():
            return "a string"
        case bool():
            return "true or false"
        case None:
            return "null"
        case _:
            return "a number"


def fields(names: Any) -> str:
    """Return the names of fields in words: the first eight, each cut at 40 characters, and how many more there are."""
    shown = [str(name)[:_NAME_LENGTH] for name in names]
    if not shown:
        return "no field"
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ("the field " if len(shown) == 1 else "the fields ") + ", ".join(shown[:_NAMED]) + more


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the object. Raises ValueError for a repeated key: with two references nobody knows which is meant."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("the same key stands twice in one object")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
