"""The address of a Redis or Valkey server, read once and in one way for the ledger and for Celery's broker."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from functools import partial
from urllib.parse import SplitResult, unquote

from tasks.api.address import several
from worker.settings.address_parts import parameters, split
from worker.settings.tls import PARAMETERS, Tls

SCHEMES = ("redis", "rediss", "unix", "redis+socket")  # the last one is Celery's name for `unix`
_DATABASE = re.compile(r"[0-9]{1,9}")
_SOCKET_PATH_MAX = 107  # sockaddr_un holds 108 bytes on Linux, the last one is 0
_LEFT_OUT = "leave it out; closer chooses it itself"
_INSTEAD = {
    "db": "write the database behind the host, as in redis://HOST:6379/3",
    "virtual_host": "write the database behind the host, as in redis://HOST:6379/3",
    "password": "write user and password before the host, as in redis://USER:PASSWORD@HOST:6379/0",
    "username": "write user and password before the host, as in redis://USER:PASSWORD@HOST:6379/0",
    "tls": "for TLS write rediss:// in place of redis://",
    "ssl": "for TLS write rediss:// in place of redis://",
}
_CHOSEN = {
    "client_name", "protocol", "max_connections", "timeout", "decode_responses", "socket_timeout",
    "socket_connect_timeout", "socket_keepalive", "socket_read_size", "retry_on_timeout", "health_check_interval",
    "encoding", "encoding_errors", "legacy_responses",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where a server is, which of its databases is meant, and how to log in.

    `socket`: the path of its Unix socket; where that is given, `host` and `port` mean nothing. `tls`: None without TLS.
    """

    host: str = "localhost"
    port: int = 6379
    socket: str | None = None
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Tls | None = None

    @property
    def user(self) -> str:
        """The name of the ACL user that logs in."""
        return self.username or "default"

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """Read an address with one of SCHEMES.

        Raises ValueError that says what is wrong and what to write instead; it repeats no value.
        """
        if len(several(url)) > 1:
            raise ValueError("it must be one address: closer cannot use several stores")
        parts = split(url)
        return _socket(parts) if parts.scheme in ("unix", "redis+socket") else _tcp(parts)


def _tcp(parts: SplitResult) -> RedisAddress:
    database = parts.path.removeprefix("/")
    if database and not _DATABASE.fullmatch(database):
        raise ValueError(
            "what follows the host must be the number of a database, as in redis://HOST:6379/0; a socket is "
            "unix:///PATH"
        )
    with_tls = parts.scheme == "rediss"
    given = parameters(parts.query, PARAMETERS if with_tls else (), partial(_instead, with_tls=with_tls))
    return RedisAddress(
        host=parts.hostname or "localhost",
        port=parts.port or 6379,
        database=int(database or 0),
        username=_plain(parts.username),
        password=_plain(parts.password),
        tls=Tls.of(given) if with_tls else None,
    )


def _socket(parts: SplitResult) -> RedisAddress:
    path = _plain(parts.path) or ""
    login = parts.netloc.rpartition("@")
    if login[2] or len(path) < 2:
        raise ValueError("it must name the whole path of a socket after three slashes, as in unix:///run/valkey.sock")
    if not path.isprintable() or len(os.fsencode(path)) > _SOCKET_PATH_MAX:
        raise ValueError(f"a socket's path has at most {_SOCKET_PATH_MAX} bytes, and no character that cannot be seen")
    given = parameters(parts.query, ("db", "virtual_host"), _instead_for_a_socket)
    if len(given) > 1:
        raise ValueError("the parameters db and virtual_host mean the same: leave one of them out")
    database = "".join(given.values()) or "0"
    if not _DATABASE.fullmatch(database):
        raise ValueError("its parameter db must be the number of a database, as in unix:///run/valkey.sock?db=3")
    return RedisAddress(
        socket=path, database=int(database), username=_plain(parts.username), password=_plain(parts.password)
    )


def _plain(part: str | None) -> str | None:
    """Return a part of an address without %XX; None when it is missing or empty."""
    try:
        return unquote(part, errors="strict") if part else None
    except UnicodeDecodeError:
        raise ValueError("what its %XX stand for must be UTF-8") from None


def _instead(name: str, *, with_tls: bool) -> str:
    if name in PARAMETERS and not with_tls:
        return "it belongs to TLS: write rediss:// in place of redis://, or leave it out"
    known = f"; known are {', '.join(PARAMETERS)}" if with_tls else ""
    return _INSTEAD.get(name) or (_LEFT_OUT if name in _CHOSEN else f"leave it out{known}")


def _instead_for_a_socket(name: str) -> str:
    if name in ("username", "password"):
        return "write user and password before the path, as in unix://USER:PASSWORD@/run/valkey.sock"
    return _LEFT_OUT if name in _CHOSEN else "leave it out; known is db, the number of the database"
