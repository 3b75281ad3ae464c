"""Shows addresses without user, password and parameters, and compares them."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

UNREADABLE = "an address that cannot be read"
# These separate the parts of an address, so in a user or a password each must be written as %XX (RFC 3986, 3.2.1).
ESCAPES = "/ as %2F, ? as %3F, # as %23, @ as %40, [ as %5B, ] as %5D"

DEFAULT_PORTS = {"http": 80, "https": 443}
_ANOTHER = re.compile(r";(?=[A-Za-z][A-Za-z0-9+.-]*://)")
_ADDRESS = re.compile(
    r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://"
    r"(?:(?P<login>[^/?#]*)@)?"
    r"(?P<place>(?:[\w.-]+|\[[A-Za-z0-9:.%]+\])(?::[0-9]{1,5})?)?"
    r"(?P<path>/[^?#@]*)?"
    r"(?:[?#][^@]*)?",
    re.DOTALL,
)


def public_address(url: str) -> str:
    """Return an address, or several with `;` between them, without what may be secret: scheme, host, port and path.

    An address that can be read in two ways is not shown at all, but as UNREADABLE: a `/` or `@` in a password could
    make a part of it look like the host or the path. So nothing that is shown can be from a password.
    """
    found = [_ADDRESS.fullmatch(each) for each in several(url)]
    shown = [_shown(each) for each in found]
    # A password that holds `;redis://` looks like a list whose members have different logins.
    one_login = len({each and each["login"] for each in found}) == 1
    return ";".join(shown) if one_login and UNREADABLE not in shown else UNREADABLE


def api_address(url: str) -> str:
    """Return an API's address in one form, so that two that mean the same are equal: scheme, host, port, path.

    Scheme and host are in small letters. A default port and a slash at the end are left out. Raises ValueError when the
    port is not a number up to 65535.
    """
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    port = "" if parts.port in (None, DEFAULT_PORTS.get(parts.scheme)) else f":{parts.port}"
    return f"{parts.scheme}://{host}{port}{parts.path.rstrip('/')}"


def is_readable(url: str) -> bool:
    """Return whether an address can be read in one way only.

    It can when each `@` but the one that ends user and password is written as %40, and `/`, `?` and `#` inside them,
    too.
    """
    return public_address(url) != UNREADABLE


def several(url: str) -> list[str]:
    """Split a list of addresses at each `;` after which another scheme begins."""
    return _ANOTHER.split(url)


def _shown(found: re.Match[str] | None) -> str:
    if found is None:
        return UNREADABLE
    path = found["path"] or ""
    escaped_end = found["login"] is None and "%40" in path  # `//user:12/word%40host`: the slash is not escaped
    if escaped_end or not path.isprintable():
        return UNREADABLE
    return f"{found['scheme']}://{found['place'] or ''}{path}"
