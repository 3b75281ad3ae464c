"""Reads from the environment how calls leave this machine: the proxy, and the certificates to check the API with.

Both are read when the client is made. A mistake in them ends the start, because waiting would not correct it.
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import aiohttp
import httpx

from tasks.api.address import DEFAULT_PORTS, ESCAPES, is_readable
from tasks.api.loopback import is_loopback
from tasks.api.no_proxy import is_exempt
from tasks.errors import ConfigurationError

_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")
_HASHED = re.compile(r"[0-9a-f]{8}\.r?[0-9]+")  # file names that OpenSSL looks for (`openssl rehash`)


class Proxy(httpx.Proxy):
    """A proxy whose credentials stand only in its headers, so that they are in no repr and no error."""

    def __repr__(self) -> str:
        return f"Proxy({self.url})"


def proxy_of(base_url: str) -> Proxy | None:
    """Return the proxy that the environment names for this address; None when it is called directly.

    It is HTTPS_PROXY's, else ALL_PROXY's, unless NO_PROXY names the host. One without a scheme is an HTTP proxy, as it
    is for curl. This machine itself is always called directly, because a proxy's "localhost" is another machine.

    Raises ConfigurationError when the proxy cannot be used, and when the address has no TLS: the proxy would read the
    API key then. The message does not repeat the proxy's address, which may hold a password.
    """
    parts, given = urlsplit(base_url), getproxies_environment()
    host, port = parts.hostname or "", parts.port or DEFAULT_PORTS[parts.scheme]
    name, proxy = next(((name, given[name].strip()) for name in (parts.scheme, "all") if given.get(name)), ("", ""))
    if not proxy or _stays_here(host) or _is_exempt(host, port, given.get("no", "")):
        return None
    address = proxy if "://" in proxy else f"http://{proxy}"
    if problem := _without_tls(parts.scheme) or _proxy_problem(address):
        raise ConfigurationError(
            f"{_variable(name)}: {problem}; set it to http://HOST:PORT, or unset it, or name {host} in NO_PROXY"
        )
    return _with_credentials_in_headers(httpx.Proxy(address))


def certificates() -> ssl.SSLContext:
    """Return the context that the API's certificate is checked with.

    Its certificates are those of SSL_CERT_FILE, else of SSL_CERT_DIR, else those of certifi, which come with httpx.
    Raises ConfigurationError that names the variable when they cannot be read.
    """
    if not os.environ.get("SSL_CERT_FILE") and (folders := os.environ.get("SSL_CERT_DIR")):
        _check_folders(folders)
    try:
        return httpx.create_ssl_context()
    except OSError as error:  # ssl.SSLError is one
        name = "SSL_CERT_FILE" if os.environ.get("SSL_CERT_FILE") else "SSLKEYLOGFILE"
        raise ConfigurationError(
            f"{name} is {os.environ.get(name)!r}, and TLS cannot be set up with it ({error}); correct it, or unset it"
        ) from error


def _check_folders(folders: str) -> None:
    """Check that OpenSSL can find a certificate in one of the folders. It ignores a wrong folder in silence."""
    try:
        names = [path.name for folder in folders.split(os.pathsep) if Path(folder).is_dir() for path in _files(folder)]
    except OSError as error:  # pragma: no cover  (the tests may run as root, who reads every folder)
        raise ConfigurationError(f"SSL_CERT_DIR is {folders!r}, and it cannot be read ({error})") from error
    if not any(_HASHED.fullmatch(name) for name in names):
        raise ConfigurationError(
            f"SSL_CERT_DIR is {folders!r}, and OpenSSL finds no certificate in it; correct it, or run `openssl rehash` "
            "on the directory, or unset it"
        )


def _files(folder: str) -> list[Path]:
    return list(Path(folder).iterdir())


def _stays_here(host: str) -> bool:
    """Return whether the host is this machine. RFC 6761, 6.3: so is every name under `localhost`."""
    return is_loopback(host) or host.removesuffix(".").endswith(".localhost")


def _is_exempt(host: str, port: int, no_proxy: str) -> bool:
    try:
        return is_exempt(host, port, no_proxy)
    except ValueError as error:
        raise ConfigurationError(
            f"{_variable('no')}: {error}; write a host, a host and its port, an address, or a network such as "
            "10.0.0.0/8, with commas between"
        ) from None


def _proxy_problem(address: str) -> str | None:
    """Return what is wrong with a proxy's address, in words that do not repeat it; None if nothing is."""
    try:
        url, port = httpx.URL(address), urlsplit(address).port
    except (httpx.InvalidURL, ValueError):
        return "it cannot be read as the address of a proxy"
    if url.scheme not in ("http", "https"):
        return f"closer cannot use a {url.scheme} proxy"
    if not is_readable(address) or url.raw_path != b"/" or url.fragment or ":" in url.username:
        return f"a character in its user or password must be written as %XX ({ESCAPES})"
    return None if _HOST.fullmatch(url.raw_host) and port != 0 else "it names no host"


def _without_tls(scheme: str) -> str | None:
    return (
        None if scheme == "https" else "through a proxy CLOSER_API_BASE_URL must be https://, or the key is read there"
    )


def _with_credentials_in_headers(proxy: httpx.Proxy) -> Proxy:
    headers = {"Proxy-Authorization": aiohttp.encode_basic_auth(*proxy.auth)} if proxy.auth else None
    return Proxy(proxy.url, headers=headers)


def _variable(kind: str) -> str:
    """Return the name of the variable that was read. The one in small letters wins, as everywhere."""
    small = f"{kind}_proxy"
    return small if os.environ.get(small) else small.upper()
