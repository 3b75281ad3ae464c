"""Addresses in settings: refused where the clients would read them otherwise than meant. No message repeats a value."""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretStr

from tasks.api.address import ESCAPES, is_readable, several
from tasks.api.loopback import is_loopback

_AMQPS_PARAMETERS = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")


def with_scheme(url: SecretStr | None, *schemes: str) -> SecretStr | None:
    """The address. Raises ValueError when it begins with none of these schemes."""
    if url is not None and url.get_secret_value().partition("://")[0] not in schemes:
        raise ValueError(f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}")
    return url


def readable(url: SecretStr | None) -> SecretStr | None:
    """The address. Raises ValueError for one whose parts the clients would read otherwise than meant, and print."""
    for each in several(url.get_secret_value()) if url else ():
        rest = each.partition("://")[2]
        misplaced = "@" in rest and not rest.startswith("/") and not is_readable(each)  # a `/` begins a socket's path
        if misplaced or _has_no_port(each):
            raise ValueError(f"its host and port cannot be read; in its user and password write {ESCAPES}")
    return url


def check_store(url: str) -> None:
    """Raises ValueError when the store's client cannot use the address."""
    from worker.settings.url_check import check_redis

    check_redis(url)


def check_amqps(url: str) -> None:
    """Raises ValueError for several addresses, and for parameters of TLS that have no effect."""
    if ";" in url:
        raise ValueError("with amqps:// it is one address: the certificate is checked against one host's name")
    for name, _ in parse_qsl(urlsplit(url).query):
        if name.startswith("ssl_") and name not in _AMQPS_PARAMETERS:
            raise ValueError(f"of TLS, amqps:// knows only the parameters {', '.join(_AMQPS_PARAMETERS)}")


def check_api(url: str, *, allow_http: bool) -> None:
    """Raises ValueError for an address that calls cannot be made to, or that would send the key in the clear."""
    host = _plain_host(url)
    if host is None:
        raise ValueError("CLOSER_API_BASE_URL must be https://HOST/PATH, without user, query, fragment and blanks")
    if urlsplit(url).scheme == "http" and not allow_http and not is_loopback(host):
        raise ValueError(
            "CLOSER_API_BASE_URL must be https:// (the key would travel in the clear); to allow it all the same, "
            "set CLOSER_ALLOW_HTTP=1"
        )


def _plain_host(url: str) -> str | None:
    """The host of an address of the API; None when it is none that calls can be made to."""
    if _has_no_port(url) or not all("!" <= char <= "~" for char in url):
        return None
    parts = urlsplit(url)
    if parts.scheme not in ("https", "http") or parts.query or parts.fragment or "@" in parts.netloc:
        return None
    return parts.hostname


def _has_no_port(url: str) -> bool:
    """Whether the host and port cannot be read (`[::1`, `host:99999`)."""
    try:
        urlsplit(url).port  # noqa: B018 - it is reading it that raises
    except ValueError:
        return True
    return False
