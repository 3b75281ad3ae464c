"""Tries out what closer's user may do in the store and in the broker, without changing anything.

A server checks a command's rights, and its own state, when it queues the command in a transaction. So each command is
sent between MULTI and the end of the connection: it is refused as it would be in earnest, and is never executed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis import Connection, ConnectionPool, RedisError, SSLConnection, UnixDomainSocketConnection
from redis.backoff import NoBackoff
from redis.exceptions import ExecAbortError, NoPermissionError, ResponseError
from redis.retry import Retry

from tasks.ledger.scripts import translated
from worker.settings.redis_address import RedisAddress
from worker.store.connect import options
from worker.store.needs import Need

_WAIT_S = 5.0
_TRANSACTION = (Need("+multi", ("MULTI",)), Need("+exec", ("EXEC",)))
# How the servers word it: Redis 7.0, and Redis from 7.2 on as Valkey.
_KINDS = {
    "+": re.compile("no permissions to run the '", re.IGNORECASE),
    "~": re.compile("no permissions to access (a|one of the) key", re.IGNORECASE),
    "&": re.compile("no permissions to access (a|one of the) channel", re.IGNORECASE),
}


@dataclass(frozen=True, slots=True)
class Refusals:
    """What was refused.

    `rights`: those that are missing, as ACL SETUSER takes them. `unknown`: commands that the server does not have.
    `others`: its other reasons, in closer's words.
    """

    rights: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


def pool_of(address: RedisAddress) -> ConnectionPool:
    """Return connections to a server, for one look at it. Every wait ends after 5 s, and nothing is tried again."""
    kind = UnixDomainSocketConnection if address.socket else SSLConnection if address.tls else Connection
    return ConnectionPool(
        connection_class=kind,
        **options(address),
        socket_timeout=_WAIT_S,
        socket_connect_timeout=_WAIT_S,
        retry=Retry(NoBackoff(), 0),
    )


def try_out(pool: Any, needs: Sequence[Need]) -> Refusals:
    """Try each need, and return what was refused. Blocking. Raises RedisError and OSError where nothing can be tried.

    `pool`: connections of redis-py; those of Celery's transport are, too. Without MULTI nothing else is tried.
    """
    connection = pool.get_connection()
    try:
        refused = _refusals(_TRANSACTION, _ask(connection, _TRANSACTION))
        if refused != Refusals():
            return refused
        inside = [need for need in needs if need.command[0] != "WATCH"]
        outside = [need for need in needs if need.command[0] == "WATCH"]
        replies = _ask(connection, [*outside, _TRANSACTION[0], *inside])
        return _refusals([*outside, _TRANSACTION[0], *inside], replies)
    finally:
        connection.disconnect()  # the transaction ends with it
        pool.release(connection)


def _ask(connection: Any, needs: Sequence[Need]) -> list[Any]:
    """Send the commands together, and return a reply or the server's error for each."""
    connection.send_packed_command(connection.pack_commands([need.command for need in needs]))
    return [_reply(connection) for _ in needs]


def _reply(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error


def _refusals(needs: Sequence[Need], replies: Sequence[Any]) -> Refusals:
    rights: dict[str, None] = {}
    unknown: dict[str, None] = {}
    others: dict[str, None] = {}
    for need, reply in zip(needs, replies, strict=True):
        if isinstance(reply, NoPermissionError) or (isinstance(reply, ExecAbortError) and "NOPERM" in str(reply)):
            if _is_about(need, str(reply)):
                rights[need.right] = None
        elif isinstance(reply, ResponseError) and "unknown command" in str(reply):
            unknown[need.command[0]] = None
        elif isinstance(reply, RedisError):
            others[str(translated(reply))] = None
    return Refusals(tuple(rights), tuple(unknown), tuple(others))


def _is_about(need: Need, said: str) -> bool:
    """Whether the server misses this very right: a command may be refused because of its keys, and a key's, its own."""
    known = [kind for kind, words in _KINDS.items() if words.search(said)]
    return need.right[0] in known or not known
