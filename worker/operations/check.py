"""Checking the set-up: configuration, store, broker, API and its key; what is wrong comes with its remedy."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from redis.exceptions import NoPermissionError

from tasks.address import public_address
from tasks.catalogue import Summary
from tasks.closure import iso
from tasks.errors import CloserError, ConfigurationError, ForeignApi, StoreUnavailable
from tasks.event_type import EventTypes
from tasks.reply import Failure, NoReply, Reply
from tasks.verdict import group_state
from worker import open_files
from worker.celery_variables import REMEDY
from worker.operations.context import OperatorContext, StoreAway, asking, open_context
from worker.operations.event_types import Waiting, uncounted, waiting
from worker.operations.ledger_keys import foreign_keys
from worker.operations.operator import Operator, Verb, guard
from worker.operations.policy import refuse_other_api
from worker.operations.reconcile import api_of
from worker.operations.step import Step
from worker.operations.stream_groups import Behind, behind
from worker.redaction import redact
from worker.settings import Settings, unknown_variables
from worker.store import EVICTION_REMEDY, eviction
from worker.url_check import check_broker

# Looks like a reference, and belongs to no group: asking for it changes nothing.
NOBODY = "sg_" + "0" * 32
_OLDEST_REDIS = 7
_BROKER_S = 8
_TYPES_SHOWN = 5


class Finding(StrEnum):
    """How serious it is."""

    OK = "ok"
    WARNING = "warning"
    WRONG = "wrong"


@dataclass(frozen=True, slots=True)
class Line:
    """One thing that was looked at; `remedy` and `step` are what to do, where there is something to do."""

    name: str
    finding: Finding
    message: str
    remedy: str | None = None
    step: Step | None = None


async def check(
    operator: Operator, settings: Settings, connect: Callable[[], Any], ignored: Sequence[str] = ()
) -> AsyncIterator[Line]:
    """Look at one thing after the other. Raises Refused; never for what it finds.

    `connect` gives the connection that a worker would consume from. `ignored`: Celery's own variables that are set.
    """
    guard(operator, Verb.CHECK)
    for line in configuration(settings, ignored):
        yield line
    yield files(settings)
    async for line in store(operator, settings):
        yield line
    yield await asyncio.to_thread(broker, settings, connect)
    yield await _held_back(operator, settings) or await api(settings)


def configuration(settings: Settings, ignored: Sequence[str] = ()) -> list[Line]:
    """The variables: valid (else there would be no settings), not misspelt, complete, and closer's own."""
    wrong = [
        Line("configuration", Finding.WRONG, f"{name} is no setting of closer's", "correct its name, or unset it")
        for name in unknown_variables()
    ]
    if settings.api_key is None:
        remedy = "set it to the key that Sorted gave you"
        wrong.append(Line("configuration", Finding.WRONG, "CLOSER_API_KEY is not set", remedy))
    others = [Line("configuration", Finding.WARNING, f"{name} is set and has no effect", REMEDY) for name in ignored]
    return (wrong or [Line("configuration", Finding.OK, "every CLOSER_ variable is known and valid")]) + others


def files(settings: Settings) -> Line:
    """The limit of open files: whether a worker started like this command may have as many calls in flight."""
    if problem := open_files.problem(settings.concurrency):
        return Line("open files", Finding.WRONG, problem, open_files.remedy(settings.concurrency))
    return Line("open files", Finding.OK, f"CLOSER_CONCURRENCY={settings.concurrency} fits the limit of open files")


async def store(operator: Operator, settings: Settings) -> AsyncIterator[Line]:
    """The store: whether it answers, is for our API, how old it is, and whether it keeps what it is told."""
    address = settings.public_store_address
    try:
        async with open_context(operator, settings) as context:
            keys = [
                Line("ledger", Finding.WRONG, f"{one.key} is a {one.kind}; closer needs a {one.needed}", one.remedy)
                for one in await foreign_keys(context)
            ]
            for line in keys:
                yield line
            summary = await context.catalogue.summary(settings.events_stream)
            info = await _info(context)
            try:
                await refuse_other_api(context)
            except ForeignApi as error:
                problem, _, remedy = str(error).partition("\n")
                yield Line("ledger", Finding.WRONG, problem, remedy)
            groups = [_behind(one) for one in await behind(context)]
    except StoreAway as error:
        yield Line("store", Finding.WRONG, f"{address}: {error.problem}", _reach(settings))
        return
    for line in [*_store_lines(address, info), *events(summary, settings.accepted_types), *groups]:
        yield line


def _reach(settings: Settings) -> str:
    if settings.embedded:
        return "start a worker here; or set CLOSER_REDIS_URL to your store, or CLOSER_DATA_DIR as the worker has it"
    return "start the store, or correct CLOSER_REDIS_URL"


async def _info(context: OperatorContext) -> dict[str, Any] | None:
    """What the store tells of itself; None where this user may not ask."""
    with asking():
        try:
            info: dict[str, Any] = await context.redis.info("everything")
        except NoPermissionError:
            return None
    return info


def events(summary: Summary, types: EventTypes) -> list[Line]:
    """The types of events that came within a day, and those whose events wait, each with what to do about it."""
    waits = waiting(summary, types)
    lines = [_seen(sorted(summary.seen_types), types)] if summary.seen_types else []
    lines += [_waits(one, accepted=types.accept(one.type)) for one in waits[:_TYPES_SHOWN]]
    if more := sum(one.events for one in waits[_TYPES_SHOWN:]) + uncounted(summary):
        message = f"{more} events of further types are put aside, and not closed"
        lines.append(Line("events", Finding.WARNING, message, "look at them", Step(Verb.REJECTED)))
    return lines


def _seen(names: list[str], types: EventTypes) -> Line:
    words = [f"{name} ({'accepted' if types.accept(name) else 'not accepted'})" for name in names]
    return Line("events", Finding.OK, f"types that came within a day: {', '.join(words)}")


def _waits(waits: Waiting, *, accepted: bool) -> Line:
    message = f"{waits.events} events of type {waits.type} are put aside, and not closed"
    first = f"if it means complete, set {waits.setting} for the workers (the list must name every type that does)"
    first = "the type is accepted by now" if accepted else first
    return Line("events", Finding.WARNING, message, f"{first}; then have them closed", waits.step)


def _behind(group: Behind) -> Line:
    message = (
        f"the consumer group {group.group} on {group.stream} has not read {group.events} events, the oldest for "
        f"{group.oldest_s:.0f} s; they stay in the store's memory until it has"
    )
    return Line("events", Finding.WARNING, message, group.remedy)


def _store_lines(address: str, info: dict[str, Any] | None) -> list[Line]:
    if info is None:
        message = f"{address} answers; it permits no INFO, so what it does with its data was not looked at"
        return [Line("store", Finding.OK, message)]
    name, version = info.get("server_name", "redis"), str(info.get("valkey_version") or info.get("redis_version", "?"))
    lines = [Line("store", Finding.OK, f"{address} answers: {name} {version}")]
    number = re.match(r"\d+", version)
    if number and int(number[0]) < _OLDEST_REDIS:
        lines = [
            Line("store", Finding.WRONG, f"{address}: {name} {version} is too old", "use Redis 7 or newer, or Valkey")
        ]
    if not info.get("aof_enabled"):
        message = "append-only file is off: a crash of the store loses what came since its last snapshot"
        lines.append(
            Line("store", Finding.WARNING, message, "CONFIG SET appendonly yes, and put it into its configuration")
        )
    if info.get("aof_last_write_status", "ok") != "ok" or info.get("rdb_last_bgsave_status", "ok") != "ok":
        lines.append(
            Line("store", Finding.WRONG, "its last write to disk failed", "look at its log and its disk space")
        )
    if problem := eviction(info):
        lines.append(Line("store", Finding.WARNING, problem, EVICTION_REMEDY))
    return lines


def broker(settings: Settings, connect: Callable[[], Any]) -> Line:
    """Celery's broker: whether it can be reached, and whether messages were given up there. Blocking."""
    try:
        check_broker(settings.celery_broker_url)
    except ConfigurationError as error:
        return Line("broker", Finding.WRONG, str(error))
    connection = connect()
    address = public_address(connection.as_uri())
    if settings.broker_url is None:
        return Line("broker", Finding.OK, f"{address}: the store is the broker, too (CLOSER_BROKER_URL is not set)")
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=_BROKER_S)
        return _queues(settings, address, connection)
    except Exception as error:
        # What a client library raises here depends on the broker; whatever it is, the broker cannot be reached.
        said = redact(f"{type(error).__name__}: {error}")
        remedy = "start the broker, or correct CLOSER_BROKER_URL (address, user, password, virtual host)"
        return Line("broker", Finding.WRONG, f"{address} cannot be reached ({said})", remedy)
    finally:
        with suppress(Exception):
            connection.release()


def _queues(settings: Settings, address: str, connection: Any) -> Line:
    from worker import rabbitmq

    try:
        held = rabbitmq.declared(connection) if rabbitmq.is_amqp(settings.celery_broker_url) else 0
    except rabbitmq.ForeignQueue as error:
        return Line("broker", Finding.WRONG, f"{address}: {error.problem}", rabbitmq.REMEDY)
    if held:
        message = f"{address} answers; {held} messages in {rabbitmq.DEAD_LETTERS} were given up"
        return Line("broker", Finding.WARNING, message, "look at them, then put them back: docs/rabbitmq.md tells how")
    return Line("broker", Finding.OK, f"{address} answers")


async def _held_back(operator: Operator, settings: Settings) -> Line | None:
    """That the API is not asked, because it wants no calls for a time. None when it may be asked."""
    try:
        async with open_context(operator, settings) as context:
            throttled = (await context.ledger.gate()).get("throttled")
    except StoreUnavailable:
        return None
    if throttled is None or throttled.until_ms is None:
        return None
    message = f"{settings.api_base_url} was not asked: it wants no calls until {iso(throttled.until_ms)}"
    return Line("api", Finding.WARNING, message, "wait until then; closer does, too")


async def api(settings: Settings) -> Line:
    """The API: whether it can be reached, and knows the key; asked for a group that cannot exist."""
    if settings.api_key is None:
        return Line(
            "api", Finding.WARNING, f"{settings.api_base_url} was not asked: there is no key", "set CLOSER_API_KEY"
        )
    try:
        client = api_of(settings)
    except ConfigurationError as error:  # the proxy or the certificates that the environment names
        return Line("api", Finding.WRONG, str(error))
    try:
        reply = await client.state(NOBODY)
    except CloserError as error:
        return Line("api", Finding.WRONG, str(error))
    finally:
        await client.aclose()
    return judge(settings.api_base_url, reply)


def judge(url: str, reply: Reply | NoReply) -> Line:
    """What the reply for a group that cannot exist says about the address and the key."""
    if isinstance(reply, NoReply):
        said = f"{reply} {reply.detail}".strip()
        if reply.failure is Failure.OWN:
            return Line("api", Finding.WRONG, f"{url} could not be called ({said})", "mend that, then check again")
        remedy = "check CLOSER_API_BASE_URL, and that this machine may connect to it (firewall, HTTPS_PROXY)"
        return Line("api", Finding.WRONG, f"{url} gives no reply ({said})", remedy)
    match reply.status:
        case 200 | 404 if _is_its_own(reply):
            return Line("api", Finding.OK, f"{url} answers, and accepts the key")
        case 401:
            return Line("api", Finding.WRONG, f"{url} refuses the key (401)", "set CLOSER_API_KEY to a valid key")
        case 403:
            remedy = "ask whoever manages the Sorted account to permit this key to read and close shipment groups"
            return Line("api", Finding.WRONG, f"{url} knows the key, but permits it nothing here (403)", remedy)
        case 400:
            remedy = "check CLOSER_API_VERSION; if it is right, the API dislikes only the reference we tried with"
            return Line("api", Finding.WARNING, f"{url} answers, but not to this request ({reply})", remedy)
        case status if status >= 500 or status == 429:
            return Line(
                "api", Finding.WARNING, f"{url} is ill just now ({reply})", "wait; closer tries again by itself"
            )
        case _:
            remedy = "check CLOSER_API_BASE_URL: this does not look like the Sorted API (is a proxy in between?)"
            return Line("api", Finding.WRONG, f"{url} gives an unexpected reply ({reply})", remedy)


def _is_its_own(reply: Reply) -> bool:
    """Whether the API itself spoke: about the group that was asked for, or an error; a gateway may say anything."""
    return group_state(reply, NOBODY) is not None or (reply.status == 404 and reply.body is not None)
