"""Tells whether a request can only come from this machine. Without any token, nobody else is let in."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from tasks.api.loopback import is_loopback

# A proxy adds them, and behind a proxy the request may come from anywhere.
_FORWARDED = ("forwarded", "x-real-ip", "via")
_OWN_SITE = ("same-origin", "none")


def is_here(host: str) -> bool:
    """Return whether who listens on this host is reached from this machine alone. 0.0.0.0 and :: are every address."""
    return is_loopback(host) and bool(host.strip("0.:x"))


def comes_from_outside(headers: Mapping[str, str]) -> str | None:
    """Return why a request may come from another machine or from another site's page; None when it does not.

    `headers`: by their names in small letters.
    """
    if through := [name for name in headers if name in _FORWARDED or name.startswith("x-forwarded-")]:
        return f"it came through a proxy (it has the header {through[0]})"
    host = headers.get("host", "")
    if not is_here(_hostname(f"//{host}")):
        return "its header Host does not name this machine (a page of another site may have sent it)"
    if headers.get("sec-fetch-site", "none") not in _OWN_SITE:
        return "a page of another site sent it (Sec-Fetch-Site)"
    origin = headers.get("origin")
    if origin is not None and _netloc(origin) != host.lower():
        return "a page of another site sent it (Origin)"
    return None


def _netloc(origin: str) -> str:
    """Return host and port of an Origin; "" when it is not one, such as `null`."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _hostname(address: str) -> str:
    try:
        return urlsplit(address).hostname or ""
    except ValueError:
        return ""
