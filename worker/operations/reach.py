"""Says in words why a server cannot be reached, and what to do about it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial

from worker.observe.redaction import redact
from worker.operations.aside import aside
from worker.operations.finding import Finding, Line
from worker.operations.probe import speaks_redis, speaks_tls

_SAID_MAX = 200
_ASK_S = 10.0


@dataclass(frozen=True, slots=True)
class Place:
    """A server that closer talks to.

    `name`: of its line. `address`: without its password. `variable`: the setting that names it. `host` and `port`:
    empty and 0 for a socket, or where a proxy or several hosts are in between. `tls`: whether it is called with TLS.
    """

    name: str
    address: str
    variable: str
    host: str = ""
    port: int = 0
    tls: bool = False

    def wrong(self, what: str, remedy: str) -> Line:
        """Return the line that says what is wrong here."""
        return Line(self.name, Finding.WRONG, f"{self.address}: {what}", remedy)


# What the text of an error shows, what it means, and what to do. The first row that fits counts.
_TROUBLES: tuple[tuple[str, str, str], ...] = (
    (r"[Hh]ostname mismatch|address mismatch|doesn't match",
     "its certificate is for another name", "name it in {variable} as its certificate does"),
    (r"certificate has expired|not yet valid",
     "its certificate has expired, or is not valid yet", "have it renewed, or set this machine's clock right"),
    (r"CERTIFICATE_VERIFY_FAILED",
     "its certificate is not from an authority that is trusted here", "{authority}"),
    (r"certificate.required|handshake.failure|ALERT_BAD_CERTIFICATE|unknown.ca\b|ALERT_UNKNOWN_CA",
     "it demands a client certificate, or refuses ours", "{certificate}"),
    (r"WRONG_VERSION_NUMBER|record layer failure|HTTP_REQUEST|packet length too long",
     "it does not speak TLS on this port", "{without_tls}"),
    (r"gaierror|DNSError|Name or service not known|name resolution|No address associated|UnicodeError",
     "its name has no address", "correct {variable}, or this machine's DNS"),
    (r"WRONGPASS|NOAUTH|invalid.username|AuthenticationError|ACCESS_REFUSED",
     "it refuses the user or password", "correct user and password in {variable}"),
    (r"NOT_ALLOWED|NotAllowed",
     "it does not let this user use this virtual host", "correct the virtual host in {variable}, or permit it"),
    (r"DB index is out of range",
     "it has no database of this number", "correct the number after the host in {variable}"),
    (r"CLUSTERDOWN|MovedError|MOVED|CROSSSLOT|CrossSlot|not allowed in cluster mode",
     "it is a cluster, which closer does not support", "name a single primary in {variable}"),
    (r"-DENIED|DENIED .*protected mode",
     "it is in protected mode", "set a password for it, or let it listen where only closer can reach it"),
    (r"max number of clients|maxclients",
     "it has no room for another connection", "raise its maxclients, or end other programs"),
    (r"Protocol error, got|InvalidResponse|UnexpectedFrame",
     "another kind of server answers there", "correct {variable}"),
    (r"ConnectionRefused|Errno 111|Connect call failed|Connection refused",
     "nobody listens there", "{start}"),
    (r"FileNotFoundError",
     "there is no such socket", "{start}"),
    (r"PermissionError",
     "this user may not open its socket", "run closer as a user who may, or change the socket's mode"),
    (r"No route to host|Network is unreachable|Errno 113|Errno 101",
     "there is no way to it from here", "correct {variable}, or this machine's network"),
    (r"[Tt]imeout|timed out",
     "it does not answer in time", "see that it runs, that {variable} is right, and that no firewall is in between"),
)  # fmt: skip
# After such an error only the server itself can tell what is wrong.
_CUT = re.compile(r"[Tt]imeout|timed out|reset by peer|closed by server|Connection closed|Disconnected|EOF|Broken pipe")


def unreachable(place: Place, error: BaseException | str) -> Line:
    """Return the line for a server that gave this error instead of an answer.

    Where only the server can tell what it speaks, it is asked. That may block for a few seconds.
    """
    text = error if isinstance(error, str) else " | ".join(_chain(error))
    said = redact(text if isinstance(error, str) else error)[:_SAID_MAX].strip()
    if _CUT.search(text) and (line := other_protocol(place, said)):
        return line
    return _line(place, said, *(_known(text) or ("it cannot be reached", "correct {variable}")))


async def explained(place: Place, error: BaseException | str) -> Line:
    """Return the same line as `unreachable` beside the event loop, within a few seconds."""
    try:
        return await aside(partial(unreachable, place, error), _ASK_S)
    except TimeoutError:  # the server stopped answering while it was asked
        return unreachable(replace(place, port=0), error)


def other_protocol(place: Place, said: str) -> Line | None:
    """Ask the server itself whether it wants TLS, a certificate, or knows no TLS; None where that is not the trouble.

    `said`: what it answered so far. This may block for a few seconds.
    """
    if not place.port:
        return None
    wants = speaks_tls(place.host, place.port)
    if wants.tls and not place.tls:
        return _line(place, said, "it speaks TLS on this port", "{with_tls}")
    if wants.certificate:
        return _line(place, said, "it demands a client certificate", "{certificate}")
    if wants.tls or not speaks_redis(place.host, place.port):
        return None
    if place.address.startswith("redis"):
        return _line(place, said, "it does not speak TLS on this port", "{without_tls}") if place.tls else None
    return _line(place, said, "a Redis answers there", "correct {variable}")


def _line(place: Place, said: str, what: str, remedy: str) -> Line:
    return place.wrong(f"{what} ({said})" if said else what, _filled(remedy, place))


def _chain(error: BaseException | None) -> Iterator[str]:
    """Yield the error and those that it was raised from: clients wrap what the system said."""
    while error is not None:
        yield f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__


def _known(text: str) -> tuple[str, str] | None:
    for pattern, what, remedy in _TROUBLES:
        if re.search(pattern, text):
            return what, remedy
    return None


def _filled(remedy: str, place: Place) -> str:
    variable = place.variable
    authority = "set SSL_CERT_FILE to a file with the certificate of its authority"
    if place.name == "api":
        words = {
            "start": f"correct {variable}, and see that this machine may connect to it (firewall, HTTPS_PROXY)",
            "authority": authority,
            "certificate": f"closer has no certificate to show: correct {variable}, or ask whoever runs that server",
            "with_tls": f"write https:// in {variable}",
            "without_tls": f"correct the port in {variable}",
        }
    else:
        scheme = "amqp" if place.address.startswith("amqp") else "redis"
        words = {
            "start": f"start it, or correct {variable}",
            "authority": f"{authority}, or add ?ssl_ca_certs=FILE to {variable}",
            "certificate": f"add ?ssl_certfile=FILE&ssl_keyfile=FILE to {variable}",
            "with_tls": f"write {scheme}s:// in {variable}",
            "without_tls": f"write {scheme}:// in {variable}, or correct its port",
        }
    return remedy.format(variable=variable, **words)
