"""Checks that the clients of the store and of the broker can use an address, before anything connects.

A client finds out only when it connects, and then takes the server for away. No message here repeats a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio.connection import Connection, SSLConnection, parse_url
from redis.exceptions import RedisError

from tasks.errors import ConfigurationError

_NUMBER = re.compile(r"/?|/[0-9]{1,9}")
_NAME = re.compile(r"unexpected keyword argument '([a-z_]{1,40})'")


def check_redis(url: str) -> None:
    """Check a `redis://`, `rediss://` or `unix://` address. Raises ValueError that says what is wrong."""
    if not url.startswith("unix:") and not _NUMBER.fullmatch(urlsplit(url).path):
        raise ValueError("what follows the host must be the number of a database, as in redis://HOST:6379/0")
    with _explained(url):
        given: dict[str, Any] = {**parse_url(url)}
        connection = given.pop("connection_class", Connection)(**given)
        if isinstance(connection, SSLConnection):
            connection.ssl_context.get()


def check_broker(url: str) -> None:
    """Check the broker's address as Celery reads it. Raises ConfigurationError. It is slow: it imports kombu."""
    from kombu import Connection as Broker

    try:
        if url.startswith("redis+socket:"):
            check_redis(_without("virtual_host", "unix" + url.removeprefix("redis+socket")))
        elif url.startswith("redis"):
            check_redis(url.partition("?")[0])
        with _explained(url):
            _check_tls(_tls_parameters(url) if url.startswith("amqps:") else Broker(url).ssl)
            Broker(_without_tls(url))
    except ValueError as error:
        raise ConfigurationError(f"the broker's address (CLOSER_BROKER_URL, else CLOSER_REDIS_URL): {error}") from None


def _check_tls(parameters: object) -> None:
    if isinstance(parameters, Mapping):
        SSLConnection(**parameters).ssl_context.get()


def _tls_parameters(url: str) -> dict[str, str]:
    return {name: value for name, value in parse_qsl(urlsplit(url).query) if name.startswith("ssl_")}


def _without_tls(url: str) -> str:
    return _without("ssl_", url) if url.startswith("amqps:") else url


def _without(prefix: str, url: str) -> str:
    address, _, query = url.partition("?")
    rest = "&".join(word for word in query.split("&") if not word.startswith(prefix))
    return f"{address}?{rest}" if rest else address


@contextmanager
def _explained(url: str) -> Iterator[None]:
    """Translate the clients' errors into ValueError. What may be part of a password is not repeated."""
    try:
        yield
    except TypeError as error:
        found = _NAME.search(str(error))
        name = f": {found[1]}" if found and "@" not in url.partition("?")[2] else ""
        raise ValueError(f"what follows `?` holds a parameter that is not known, or lacks one{name}") from None
    except OSError as error:  # ssl.SSLError is one
        reason = getattr(error, "reason", None) or error.strerror
        raise ValueError(f"the certificates or keys that its parameters name cannot be used ({reason})") from None
    except (LookupError, ValueError, RedisError):
        raise ValueError("what follows `?` holds a parameter with a value that is not allowed") from None
