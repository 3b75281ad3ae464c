"""Checks the addresses in settings, so that clients read them as they are meant. No message repeats a value."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from tasks.api.address import ESCAPES, is_readable, several
from tasks.api.loopback import is_loopback

_AMQPS_PARAMETERS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def with_scheme(url: SecretStr | None, *schemes: str) -> SecretStr | None:
    """Return the address. Raises ValueError when it begins with none of these schemes."""
    if url is not None and url.get_secret_value().partition("://")[0] not in schemes:
        raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    return url


def readable(url: SecretStr | None) -> SecretStr | None:
    """Return the address. Raises ValueError where clients would mistake a part of it, and so print a password."""
    for each in several(url.get_secret_value()) if url else ():
        rest = each.partition("://")[2]
        misplaced = "@" in rest and not rest.startswith("/") and not is_readable(each)  # a `/` begins a socket's path
        if misplaced or _has_no_port(each):
            raise ValueError(f"its host and port cannot be read; in its user and password write {ESCAPES}")
    return url


def check_store(url: str) -> None:
    """Check the store's address. Raises ValueError when its client cannot use it."""
    from worker.settings.url_check import check_redis

    check_redis(url)


def check_amqps(url: str) -> None:
    """Check an address of RabbitMQ with TLS. Raises ValueError for several, and for parameters without effect."""
    if ";" in url:
        raise ValueError("with amqps:// it is one address: the certificate is checked against one host's name")
    for name, _ in parse_qsl(urlsplit(url).query):
        if name.startswith("ssl_") and name not in _AMQPS_PARAMETERS:
            raise ValueError(f"of TLS, amqps:// knows only the parameters {', '.join(_AMQPS_PARAMETERS)}")


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
