"""Reads the addresses of store and broker, and checks that of the API. No message repeats a value."""

from __future__ import annotations

from urllib.parse import urlsplit

from tasks.api.loopback import is_loopback
from worker.settings.amqp_address import SCHEMES as AMQP
from worker.settings.amqp_address import AmqpAddress
from worker.settings.redis_address import SCHEMES as REDIS
from worker.settings.redis_address import RedisAddress

_SENTINEL = "sentinel:// does not work with closer yet: name the primary itself, as in redis://HOST:6379/0"


def store_address(url: str) -> RedisAddress:
    """Read the store's address. Raises ValueError that says what is wrong and what to write instead."""
    _need_scheme(url, REDIS)
    return RedisAddress.parse(url)


def broker_address(url: str) -> RedisAddress | AmqpAddress:
    """Read the broker's address. Raises ValueError that says what is wrong and what to write instead."""
    scheme = _need_scheme(url, (*REDIS, *AMQP))
    return AmqpAddress.parse(url) if scheme in AMQP else RedisAddress.parse(url)


def _need_scheme(url: str, schemes: tuple[str, ...]) -> str:
    scheme = url.partition("://")[0]
    if "sentinel" in scheme.lower():
        raise ValueError(_SENTINEL)
    if scheme not in schemes:
        raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    return scheme


def check_api(url: str, *, allow_http: bool) -> None:
    """Check the API's address. Raises ValueError where no call can be made, or the key would travel in the clear."""
    host = _plain_host(url)
    if host is None:
        raise ValueError("CLOSER_API_BASE_URL must be https://HOST/PATH, without user, query, fragment and blanks")
    if urlsplit(url).scheme == "http" and not allow_http and not is_loopback(host):
        raise ValueError(
            "CLOSER_API_BASE_URL must be https:// (the key would travel in the clear); to allow it all the same, "
            "set CLOSER_ALLOW_HTTP=1"
        )


def _plain_host(url: str) -> str | None:
    """Return the host of the API's address; None when no call can be made to it."""
    if _has_no_port(url) or not all("!" <= char <= "~" for char in url):
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.hostname


def _has_no_port(url: str) -> bool:
    """Return whether the host and port cannot be read, as in `[::1` or `host:99999`."""
    try:
        urlsplit(url).port  # noqa: B018 - it is reading it that raises
    except ValueError:
        return True
    return False
