"""Checks the set-up: configuration, store, broker, API and its key. Each line that is wrong comes with its remedy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

from worker import open_files
from worker.broker.celery_variables import REMEDY
from worker.observe.redaction import redact
from worker.operations.check_api import api, held_back
from worker.operations.check_store import store
from worker.operations.finding import Finding, Line
from worker.operations.operator import Operator, Verb, guard
from worker.settings import Settings, unknown_variables
from worker.settings.amqp_address import AmqpAddress

_BROKER_S = 8


async def check(
    operator: Operator, settings: Settings, connect: Callable[[], Any], ignored: Sequence[str] = ()
) -> AsyncIterator[Line]:
    """Look at one thing after the other, and yield a line for each.

    `connect`: returns the connection that a worker would consume from. `ignored`: Celery's own variables that are set.
    It raises Refused, and nothing for what it finds.
    """
    guard(operator, Verb.CHECK)
    for line in configuration(settings, ignored):
        yield line
    yield files(settings)
    async for line in store(operator, settings):
        yield line
    yield await asyncio.to_thread(broker, settings, connect)
    yield await held_back(operator, settings) or await api(operator, settings)


def configuration(settings: Settings, ignored: Sequence[str] = ()) -> list[Line]:
    """Return the lines about the variables: whether each is known, the key is set, and none of Celery's own is set.

    That their values are valid is known, because there would be no `settings` otherwise.
    """
    wrong = [
        Line("configuration", Finding.WRONG, f"{name} is not a setting of closer's", "correct its name, or unset it")
        for name in unknown_variables()
    ]
    if settings.api_key is None:
        remedy = "set it to the key that Sorted gave you"
        wrong.append(Line("configuration", Finding.WRONG, "CLOSER_API_KEY is not set", remedy))
    others = [Line("configuration", Finding.WARNING, f"{name} is set and has no effect", REMEDY) for name in ignored]
    return (wrong or [Line("configuration", Finding.OK, "every CLOSER_ variable is known and valid")]) + others


def files(settings: Settings) -> Line:
    """Return the line about open files: whether a worker that is started like this command may open enough of them."""
    if problem := open_files.problem(settings.concurrency):
        return Line("open files", Finding.WRONG, problem, open_files.remedy(settings.concurrency))
    return Line("open files", Finding.OK, f"CLOSER_CONCURRENCY={settings.concurrency} fits the limit of open files")


def broker(settings: Settings, connect: Callable[[], Any]) -> Line:
    """Return the line about Celery's broker: whether it answers, and whether it holds dead letters. It blocks."""
    connection = connect()
    address = settings.public_broker_address
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
    from worker.broker import rabbitmq

    try:
        held = rabbitmq.declared(connection, settings.fleet) if isinstance(settings.broker, AmqpAddress) else 0
    except rabbitmq.ForeignQueue as error:
        return Line("broker", Finding.WRONG, f"{address}: {error.problem}", rabbitmq.REMEDY)
    if held:
        message = f"{address} answers; {held} messages in {settings.fleet.dead_letters} were given up"
        return Line("broker", Finding.WARNING, message, "look at them, then put them back: docs/rabbitmq.md tells how")
    return Line("broker", Finding.OK, f"{address} answers")
