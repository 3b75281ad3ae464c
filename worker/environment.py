"""Reads variables as people and systems give them: with a line break at the end, in quotes, in any locale.

It imports nothing that is slow, because `closer health` runs for every probe.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

PREFIX = "CLOSER_"
BLANKS = " \t\r\n\v\f"  # no others: in some locales a byte of a letter looks like one
_QUOTES = "\"'`"
# What Kubernetes adds to the name of a service, see "Environment variables" in its page on services.
_OF_A_SERVICE = r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)"
_LINK = re.compile(r"(tcp|udp|sctp)://")


def given(name: str) -> str:
    """Return the value of `CLOSER_{name}`, in whichever case its name is written. Empty when it is not set."""
    wanted = PREFIX + name
    return os.environ.get(wanted) or next((value for one, value in os.environ.items() if one.upper() == wanted), "")


def bare(value: str) -> str:
    """Return the value without the blanks and line breaks at its ends: they come from files, and mean nothing.

    Raises ValueError when it stands in quotes. Nobody can tell whether another program of the same environment takes
    them off.
    """
    text = value.strip(BLANKS)
    if len(text) > 1 and text[0] in _QUOTES and text[0] == text[-1]:
        raise ValueError(
            "stands in quotes, which are a part of the value (`docker run --env-file` leaves them there); write it "
            "without"
        )
    return text


def in_utf8(value: str) -> str:
    """Return the value that its bytes have in UTF-8, in whichever locale this process runs. Raises ValueError."""
    try:
        octets = os.fsencode(value)
    except UnicodeEncodeError:  # it comes from this program, not from the environment
        return value
    try:
        return octets.decode("utf-8")
    except UnicodeDecodeError:
        raise ValueError("holds bytes that are not UTF-8") from None


def of_kubernetes(names: Iterable[str]) -> set[str]:
    """Return those of the names that Kubernetes has made of services called `closer` or `closer-…`.

    It always makes both SERVICE_HOST and SERVICE_PORT, so a misspelt variable of closer's does not pass for one.
    """
    every = set(names)
    services = {name.removesuffix("_SERVICE_HOST") for name in every if name.endswith("_SERVICE_HOST")}
    found = set()
    for service in services:
        if service.startswith(PREFIX.rstrip("_")) and f"{service}_SERVICE_PORT" in every:
            ours = re.compile(re.escape(service) + _OF_A_SERVICE)
            found |= {name for name in every if ours.fullmatch(name)}
    return found


def is_link(name: str, value: str) -> bool:
    """Return whether Kubernetes has set this variable, as in `CLOSER_HTTP_PORT=tcp://10.0.0.1:80`."""
    return bool(_LINK.match(value)) and name in of_kubernetes(os.environ)
