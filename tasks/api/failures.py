"""Translates what the transport raises into a `NoReply`. This is the one table of foreign errors."""

from __future__ import annotations

import errno
import re
import zlib
from collections.abc import Sequence

import aiohttp
import httpx
from pydantic import SecretStr

from tasks.api.content import TooLarge
from tasks.api.reply import Failure, NoReply

# The first row whose type fits counts, so special types stand before general ones.
_TABLE: tuple[tuple[type[BaseException], Failure], ...] = (
    (TooLarge, Failure.TOO_LARGE),
    (TimeoutError, Failure.TIMEOUT),
    (httpx.ReadTimeout, Failure.TIMEOUT),
    (aiohttp.ClientConnectorError, Failure.CONNECT),
    (aiohttp.ClientConnectionError, Failure.CUT),
    (aiohttp.ClientPayloadError, Failure.CUT),
    (aiohttp.ClientHttpProxyError, Failure.CONNECT),  # the proxy does not connect to the API
    (aiohttp.ClientError, Failure.PROTOCOL),
    (zlib.error, Failure.PROTOCOL),
    (httpx.HTTPError, Failure.CUT),
    (OSError, Failure.CUT),
    (aiohttp.http_exceptions.HttpProcessingError, Failure.PROTOCOL),
    (ValueError, Failure.PROTOCOL),
)
# By error number: what this process or its machine lacks, and what to do.
_OWN = {
    errno.EMFILE: "this process may open no more files: raise its limit (ulimit -n) or lower CLOSER_CONCURRENCY",
    errno.ENFILE: "this machine may open no more files: raise fs.file-max, or find out which program holds them",
    errno.ENOMEM: "this machine has no memory left",
    errno.ENOBUFS: "this machine has no memory left for connections",
    errno.EADDRNOTAVAIL: "this machine has no port left for another connection",
}
# EADDRNOTAVAIL is also raised for an IPv6 address that cannot be reached from here. That is not a lack of ports.
_IPV6 = re.compile(r"\('[0-9a-f]*:")
_PIECE = 8  # so many characters of a secret in a row must not be shown
_SHORTEST = 4  # a shorter secret would be found in ordinary words


def no_reply(error: Exception, secrets: Sequence[SecretStr], retry_after_s: float | None = None) -> NoReply:
    """Return the `NoReply` for an error of the transport. An error that fits no row of the table is raised again.

    `secrets`: what must not be shown; the detail quotes what came back, which may be the request itself, so it is left
    out where it holds a piece of one. `retry_after_s`: as the headers said, None when none came.
    """
    cause = error.__cause__ if isinstance(error, httpx.HTTPError) and error.__cause__ else error
    if (remedy := _own_fault(cause)) is not None:
        return NoReply(Failure.OWN, f"{_detail(cause, secrets)}; {remedy}", retry_after_s)
    for known in (cause, error):  # the cause tells more, so it is looked up first
        for kind, failure in _TABLE:
            if isinstance(known, kind):
                return NoReply(failure, _detail(known, secrets), retry_after_s)
    raise error


def _own_fault(error: BaseException) -> str | None:
    """Return what to do, when this process or its machine is at fault; None when it is not."""
    if not isinstance(error, OSError) or (error.errno == errno.EADDRNOTAVAIL and _IPV6.search(str(error))):
        return None
    return _OWN.get(error.errno or 0)


def _detail(error: BaseException, secrets: Sequence[SecretStr]) -> str:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):  # its own text is long, and what is wrong comes last
        error = error.certificate_error
    name, words = type(error).__name__, str(error)
    if any(_holds_a_piece(words, secret.get_secret_value()) for secret in secrets):
        return f"{name}, whose text repeats the request and is not shown"
    return f"{name}: {words}"[:200]


def _holds_a_piece(text: str, secret: str) -> bool:
    """Return whether the text holds the secret, or any eight characters of it in a row."""
    if len(secret) < _SHORTEST:
        return False
    pieces = (secret[begin : begin + _PIECE] for begin in range(max(1, len(secret) - _PIECE + 1)))
    return any(piece in text for piece in pieces)
