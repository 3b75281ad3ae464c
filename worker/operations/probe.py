"""Asks a server what it speaks. Each question has a time limit, and no secret is sent."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass

_WAIT_S = 2.0


@dataclass(frozen=True, slots=True)
class Wants:
    """`tls`: the server speaks TLS. `certificate`: it demands one from the client."""

    tls: bool
    certificate: bool = False


def speaks_tls(host: str, port: int) -> Wants:
    """Begin TLS with a server, and look at what it says."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # nothing is sent and nothing is believed
    try:
        with (
            socket.create_connection((host, port), timeout=_WAIT_S) as raw,
            context.wrap_socket(raw, server_hostname=host) as wrapped,
        ):
            return Wants(tls=True, certificate=_is_refused(wrapped))
    except ssl.SSLError as error:
        said = str(error).upper()
        return Wants(tls="ALERT" in said, certificate="HANDSHAKE_FAILURE" in said or "CERTIFICATE" in said)
    except OSError:
        return Wants(tls=False)


def _is_refused(wrapped: ssl.SSLSocket) -> bool:
    """Whether the server ends the connection because it got no certificate: in TLS 1.3 it says so after the start."""
    try:
        wrapped.recv(1)
    except ssl.SSLError as error:
        return "CERTIFICATE" in str(error).upper()
    except OSError:
        pass
    return False


def speaks_redis(host: str, port: int) -> bool:
    """Whether a server answers a PING without TLS."""
    with suppress(OSError), socket.create_connection((host, port), timeout=_WAIT_S) as raw:
        raw.sendall(b"PING\r\n")
        return raw.recv(1) in (b"+", b"-")
    return False
