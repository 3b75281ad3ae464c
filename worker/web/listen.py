"""Opens the console's port. Beyond this machine it listens only with a token, and with TLS before it."""

from __future__ import annotations

import errno
import socket

from tasks.errors import CloserError, ConfigurationError
from worker.settings import Settings
from worker.web.local import is_here

_TRIED = 100
_BACKLOG = 2048


def refuse_in_the_clear(settings: Settings) -> None:
    """Raises ConfigurationError when tokens would travel to other machines without TLS, and nobody wanted that."""
    if not (is_here(settings.http_host) or settings.behind_tls or settings.http_plain):
        raise ConfigurationError(
            f"CLOSER_HTTP_HOST={settings.http_host} is reached by other machines, and tokens travel in the clear: "
            "put a proxy with TLS before the console, and set CLOSER_PUBLIC_URL to its https:// address; or set "
            "CLOSER_HTTP_PLAIN=1, if plain HTTP is wanted"
        )


def refuse_without_tokens(settings: Settings, tokens: int) -> None:
    """Raises ConfigurationError when other machines can reach the console, and there is no token to let anybody in."""
    if not tokens and not is_here(settings.http_host):
        raise ConfigurationError(
            f"CLOSER_HTTP_HOST={settings.http_host} is reached by other machines, and there is no token yet. Make one "
            "first: closer token create --name NAME --role admin"
        )


def listen(host: str, port: int, *, next_free: bool = False) -> socket.socket:
    """Return a socket that is bound to this host and port. `next_free`: where it is taken, to one of the next hundred.

    Raises ConfigurationError when the host is not one of this machine's, and CloserError when the port is taken.
    """
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"CLOSER_HTTP_HOST={host} is not a host of this machine: {error}") from None
    last = min(port + (_TRIED if next_free else 0), 65_535)
    for one in range(port, last + 1):
        if bound := _bound(socket.socket(family, kind, protocol), (place[0], one, *place[2:]), host):
            return bound
    raise CloserError(
        f"port {port} of {host} is taken; stop what listens there, or set CLOSER_HTTP_PORT to one that is free"
    )


def address_of(bound: socket.socket) -> str:
    """Return the address to open in a browser."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _bound(made: socket.socket, place: tuple[object, ...], host: str) -> socket.socket | None:
    """Have this socket listen there, and return it; None when the port is taken."""
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(place)
        made.listen(_BACKLOG)
    except OSError as error:
        made.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise ConfigurationError(
            f"the console cannot listen on {host}: {error.strerror}; correct CLOSER_HTTP_HOST and CLOSER_HTTP_PORT"
        ) from None
    return made
