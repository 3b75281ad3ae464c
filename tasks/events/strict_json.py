"""JSON as events hold it: read strictly, with words for what is wrong, and for what was found instead."""

from __future__ import annotations

import json
from typing import Any

_NAMED = 8
_NAME_LENGTH = 40


def load(text: bytes | str) -> Any:
    """Read one JSON value. Raises ValueError that says what is wrong and where; depth and digits are bounded."""
    try:
        decoded = text if isinstance(text, str) else text.decode("utf-8")
        return json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise ValueError(wrong(error)) from None


def wrong(error: Exception) -> str:
    """What is wrong with a text that is not JSON."""
    if isinstance(error, UnicodeDecodeError):
        return f"not UTF-8 at byte {error.start}"
    if isinstance(error, json.JSONDecodeError):
        return f"not JSON: {error.msg} at character {error.pos}"
    if isinstance(error, RecursionError):
        return "nested too deeply"
    return "a number has too many digits" if "int_max_str_digits" in str(error) else str(error)[:200]


def found(value: Any) -> str:
    """What a value is, in words; of an object, which fields it has."""
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
    """The names of fields, the first few of them, each cut to a readable length."""
    shown = [str(name)[:_NAME_LENGTH] for name in names]
    if not shown:
        return "no field"
    more = f" and {len(shown) - _NAMED} more" if len(shown) > _NAMED else ""
    return ("the field " if len(shown) == 1 else "the fields ") + ", ".join(shown[:_NAMED]) + more


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse a repeated key: with two references in one event nobody can tell which group is meant."""
    document = dict(pairs)
    if len(document) != len(pairs):
        raise ValueError("the same key stands twice in one object")
    return document


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
