"""Reads the parts that all addresses have: user, host and port, and what follows `?`. No message repeats a value."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import SplitResult, parse_qsl, urlsplit

from tasks.api.address import ESCAPES, is_readable

UNREADABLE = f"its host and port cannot be read; in its user and password write {ESCAPES}"
_PLACE = re.compile(r"(?:[\w.-]+|\[[A-Za-z0-9:.%]+\])?(?::[0-9]{1,5})?")
_NAME = re.compile(r"[a-z_]{1,40}")


def split(url: str) -> SplitResult:
    """Return the parts of an address; its port can be read. Raises ValueError where clients would mistake a part."""
    if not url.isprintable():  # urlsplit leaves some such characters out, and so do the clients
        raise ValueError("it holds a line break or another character that cannot be seen: take it out")
    if "#" in url:
        raise ValueError(f"`#` has no meaning in it; in a user or password write {ESCAPES}")
    try:
        parts = urlsplit(url)
        well = _PLACE.fullmatch(parts.netloc.rpartition("@")[2]) and parts.port != 0
    except ValueError:  # as in `[::1` and `host:99999`
        raise ValueError(UNREADABLE) from None
    if not well or ("@" in url and parts.netloc and not is_readable(url)):
        raise ValueError(UNREADABLE)
    return parts


def parameters(query: str, known: tuple[str, ...], instead: Callable[[str], str]) -> dict[str, str]:
    """Return the parameters by their names. `instead` tells what to write in place of an unknown one.

    Raises ValueError for a parameter that is not known, is given twice, or has no value. Clients would pass over it, or
    read it in different ways.
    """
    found: dict[str, str] = {}
    for name, value in _pairs(query):
        if name not in known:
            raise ValueError(f"{_shown(name)} is not known here: {instead(name)}")
        if name in found or not value:
            raise ValueError(f"{_shown(name)} {'is given twice' if name in found else 'has no value'}")
        found[name] = value
    return found


def _pairs(query: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(query, keep_blank_values=True, errors="strict")
    except ValueError:  # UnicodeDecodeError is one, and so is one for too many parameters
        raise ValueError("what follows `?` cannot be read: it must be NAME=VALUE, with & between them") from None


def _shown(name: str) -> str:
    return f"the parameter {name}" if _NAME.fullmatch(name) else "a parameter after `?`"
