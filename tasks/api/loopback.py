"""Tells whether a host is this machine itself."""

from __future__ import annotations

import ipaddress


def is_loopback(host: str) -> bool:
    """Return whether calls to this host stay on this machine.

    `host`: a name, or an address without brackets. `localhost`, 127.0.0.0/8 and ::1 stay here, also when an IPv4
    address is written as IPv6. Names are not resolved.
    """
    name = host.lower().removesuffix(".")
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return name == "localhost"
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
