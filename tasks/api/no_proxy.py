"""Reads NO_PROXY: which hosts are called without the proxy."""

from __future__ import annotations

import ipaddress
import re
from fnmatch import fnmatchcase

_BETWEEN = re.compile(r"[\s,]+")
_PORT = re.compile(r"[0-9]{1,5}")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def is_exempt(host: str, port: int, no_proxy: str) -> bool:
    """Return whether an entry of NO_PROXY names this host and port.

    `host`: a name, or an address without brackets. `no_proxy`: entries with commas or blanks between. An entry is a
    name, which also means every name under it; an address; a network such as 10.0.0.0/8; or a name with `*` for any
    text. A name and an address may end in `:PORT`. A network is compared with addresses only: no name is looked up.

    Raises ValueError that quotes an entry that cannot be read, unless another one names the host.
    """
    unreadable = []
    for entry in filter(None, _BETWEEN.split(no_proxy)):
        try:
            if _names(entry.lower(), host.lower().removesuffix("."), port):
                return True
        except ValueError:
            unreadable.append(entry)
    if unreadable:
        raise ValueError(f"the entry {unreadable[0]!r} cannot be read")
    return False


def _names(entry: str, host: str, port: int) -> bool:
    """Return whether this entry names the host and port. Raises ValueError when it cannot be read."""
    if "/" in entry:
        network, address = ipaddress.ip_network(re.sub(r"[\[\]]", "", entry), strict=False), _address(host)
        return address is not None and address in network
    if _address(entry) is not None:
        return _address(entry) == _address(host)
    name, colon, its_port = entry.rpartition(":")
    if not colon:
        return _is_under(host, entry)
    if not _PORT.fullmatch(its_port) or int(its_port) > 65_535:
        raise ValueError(entry)
    return int(its_port) == port and _names(name, host, port)


def _is_under(host: str, entry: str) -> bool:
    name = entry.removeprefix("*").strip(".")
    under = bool(name) and host.endswith(f".{name}") and _address(host) is None
    return host == name or under or fnmatchcase(host, entry)


def _address(text: str) -> Address | None:
    """Return the address; None when it is a name. An IPv4 address in the form of IPv6 is the same address."""
    try:
        address = ipaddress.ip_address(text.removeprefix("[").removesuffix("]"))
    except ValueError:
        return None
    return (address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None) or address
