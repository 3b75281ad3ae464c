"""How calls leave this machine: the proxy and the certificates that its environment names.

Both are read when the worker starts. What is wrong with them ends the start: no waiting would mend it.
"""

from __future__ import annotations

import os
import re
import ssl
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import httpx

from tasks.api.address import ESCAPES, is_readable
from tasks.api.loopback import is_loopback
from tasks.errors import ConfigurationError

_HOST = re.compile(rb"[A-Za-z0-9._-]+|[0-9a-fA-F:.]+")
_HASHED = re.compile(r"[0-9a-f]{8}\.r?[0-9]+")  # how OpenSSL finds a certificate in a directory


class Proxy(httpx.Proxy):
    """A proxy whose credentials, if it has any, are in its headers only: in no repr and no error."""

    def __repr__(self) -> str:
        return f"Proxy({self.url})"


def proxy_of(base_url: str) -> Proxy | None:
    """The proxy that the environment (HTTPS_PROXY, NO_PROXY …) names for this address.

    One without a scheme is an HTTP proxy, as it is for curl. This machine itself is always called directly: a proxy's
    "localhost" is another machine. Raises ConfigurationError when the proxy cannot be used, and when the address has
    no TLS: the proxy would read the API key then. The message does not repeat the proxy's address, for it may hold a
    password.
    """
    parts = urlsplit(base_url)
    given = urllib.request.getproxies().get(parts.scheme)
    if not given or is_loopback(parts.hostname or "") or urllib.request.proxy_bypass(parts.hostname or ""):
        return None
    address = given if "://" in given else f"http://{given}"
    if problem := _without_tls(parts.scheme) or _proxy_problem(address):
        raise ConfigurationError(
            f"{_variable(parts.scheme)}: {problem}; set it to http://HOST:PORT, or unset it, or name {parts.hostname} "
            "in NO_PROXY"
        )
    return _with_credentials_in_headers(httpx.Proxy(address))


def certificates() -> ssl.SSLContext:
    """What the API's certificate is checked against: SSL_CERT_FILE, else SSL_CERT_DIR, else those that come along.

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


def _proxy_problem(address: str) -> str | None:
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


def _variable(scheme: str) -> str:
    """The variable that names the proxy; the one in small letters wins, as everywhere."""
    small = f"{scheme}_proxy"
    return small if os.environ.get(small) else small.upper()
