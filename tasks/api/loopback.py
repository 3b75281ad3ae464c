"""Tells whether a host is this machine itself."""

from __future__ import annotations

import ipaddress
import socket


def is_loopback(host: str) -> bool:
    """Return whether calls to this host (a name, or an address without brackets) stay on this machine.

    `127.1` and the other short forms of an IPv4 address count, because the resolver reads them (see inet_aton(3)). So
    do 0.0.0.0 and ::, because the kernel connects them to this machine.
    """
    name = host.lower().removesuffix(".")
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(_long_form(name))
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    real = mapped or address
    return real.is_loopback or real.is_unspecified


def _long_form(host: str) -> str:
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return host
