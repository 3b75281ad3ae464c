"""Checks the store: whether it can be reached, what closer's user may do there, and whether it keeps its data."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from worker.operations.aside import aside
from worker.operations.context import StoreAway, open_context
from worker.operations.finding import Finding, Line
from worker.operations.operator import Operator
from worker.operations.reach import Place, explained
from worker.settings import Settings
from worker.settings.redis_address import RedisAddress
from worker.store.connect import EVICTION_REMEDY, eviction
from worker.store.needs import Need, ledger_needs
from worker.store.rights import Refusals, pool_of, try_out

_OLDEST_REDIS = 7
_WAIT_S = 12.0
_KEEP = "then ACL SAVE, or put it into its configuration; docs/store.md has the whole rule"


async def store(operator: Operator, settings: Settings) -> list[Line]:
    """Return the lines about the server. One of them is WRONG where no worker could use it."""
    place = place_of(settings)
    needs = ledger_needs(settings.fleet, settings.events_stream)
    if wrong := await usable(place, settings.store, needs):
        return [_embedded(line) for line in wrong] if settings.embedded else wrong
    try:
        async with open_context(operator, settings) as context:
            told = await context.ledger.store_info()
    except StoreAway as error:
        return [place.wrong(error.problem, "look at its log, then check again")]
    return _server(place, told, settings.store.user)


def place_of(settings: Settings) -> Place:
    """Return where the store is."""
    return redis_place("store", settings.public_store_address, "CLOSER_REDIS_URL", settings.store)


def redis_place(name: str, public_address: str, variable: str, address: RedisAddress) -> Place:
    """Return where a Redis is."""
    if address.socket:
        return Place(name, public_address, variable)
    return Place(name, public_address, variable, address.host, address.port, tls=address.tls is not None)


async def usable(place: Place, address: RedisAddress, needs: Sequence[Need]) -> list[Line]:
    """Return what is wrong with a server of Redis; nothing where it can be reached and refuses none of the needs."""
    try:
        refusals = await aside(partial(_try, address, needs), _WAIT_S)
    except Exception as error:  # its text says what it is, and most of these are the system's
        return [await explained(place, error)]
    return refused(place, address.user, refusals)


def _try(address: RedisAddress, needs: Sequence[Need]) -> Refusals:
    pool = pool_of(address)
    try:
        return try_out(pool, needs)
    finally:
        pool.disconnect()


def refused(place: Place, user: str, refusals: Refusals) -> list[Line]:
    """Return a line for each kind of refusal, with what to change."""
    lines = []
    if refusals.rights:
        message = f"its user {user!r} lacks rights that closer needs: {', '.join(refusals.rights)}"
        lines.append(place.wrong(message, f"{grant(user, refusals.rights)}; {_KEEP}"))
    if refusals.unknown:
        message = f"it does not know the commands {', '.join(refusals.unknown)}"
        lines.append(place.wrong(message, "use Redis 7 or newer, or Valkey, and leave its commands their names"))
    for words in refusals.others:
        what, _, remedy = words.partition("; ")
        lines.append(place.wrong(what, remedy or "look at its log, then check again"))
    return lines


def grant(user: str, rights: Sequence[str]) -> str:
    """Return the store's command that gives a user these rights."""
    return shlex.join(["ACL", "SETUSER", user, *rights])


def _embedded(line: Line) -> Line:
    remedy = "start a worker here; or set CLOSER_REDIS_URL to your store, or CLOSER_DATA_DIR as the worker has it"
    return Line(line.name, line.finding, line.message, remedy)


def _server(place: Place, told: dict[str, Any] | None, user: str) -> list[Line]:
    if told is None:
        message = f"its user {user!r} may not run INFO, so what it does with its data was not looked at"
        return [
            Line(place.name, Finding.OK, f"{place.address} answers, and permits what closer needs"),
            Line(place.name, Finding.WARNING, message, f"{grant(user, ['+info'])}; {_KEEP}"),
        ]
    name, version = told.get("server_name", "redis"), str(told.get("valkey_version") or told.get("redis_version", "?"))
    number = re.match(r"\d+", version)
    if number and int(number[0]) < _OLDEST_REDIS:
        lines = [place.wrong(f"{name} {version} is too old", "use Redis 7 or newer, or Valkey")]
    elif told.get("cluster_enabled"):
        words = "it is a node of a cluster, which closer does not support"
        lines = [place.wrong(words, f"name a single primary in {place.variable}")]
    else:
        lines = [Line(place.name, Finding.OK, f"{place.address} answers: {name} {version}")]
    return lines + _keeps(place, told)


def _keeps(place: Place, told: Mapping[str, Any]) -> list[Line]:
    """Return what is wrong with how it keeps what it is told."""
    lines = []
    if not told.get("aof_enabled"):
        message = "append-only file is off: a crash of the store loses what came since its last snapshot"
        remedy = "CONFIG SET appendonly yes, and put it into its configuration"
        lines.append(Line(place.name, Finding.WARNING, message, remedy))
    if told.get("aof_last_write_status", "ok") != "ok" or told.get("rdb_last_bgsave_status", "ok") != "ok":
        lines.append(Line(place.name, Finding.WRONG, "its last write to disk failed", "look at its log and its disk"))
    if problem := eviction(told):
        lines.append(Line(place.name, Finding.WARNING, problem, EVICTION_REMEDY))
    return lines
