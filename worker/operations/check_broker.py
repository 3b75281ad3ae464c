"""Checks Celery's broker, with Celery's own client: whether a worker could take its messages there."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any
from urllib.parse import urlsplit

from worker.operations.aside import aside
from worker.operations.check_store import redis_place, refused, usable
from worker.operations.finding import Finding, Line
from worker.operations.reach import Place, explained
from worker.settings import Settings
from worker.settings.amqp_address import AmqpAddress
from worker.store.needs import broker_needs
from worker.store.rights import try_out

_CONNECT_S, _WAIT_S = 8.0, 12.0
_IS_THE_STORE = "the store is the broker, too (CLOSER_BROKER_URL is not set)"


async def broker(settings: Settings, connect: Callable[[], Any], *, store_answers: bool) -> list[Line]:
    """Return the lines about the broker.

    `connect`: returns the connection that a worker would consume from. `store_answers`: whether the store could be
    used, where it is the broker, too.
    """
    place = place_of(settings)
    if settings.broker_url is None and not store_answers:
        message = f"{place.address} was not asked: {_IS_THE_STORE}"
        return [Line("broker", Finding.WARNING, message, "see what `store` says above")]
    if settings.broker_url is not None and (wrong := await _redis_wrong(settings, place)):
        return wrong
    try:
        return await aside(partial(_as_celery, settings, place, connect), _WAIT_S)
    except Exception as error:  # which classes a client raises here depends on the broker
        return [await explained(place, error)]


async def _redis_wrong(settings: Settings, place: Place) -> list[Line]:
    """Ask a Redis first with a client that gives up at once and says why. Celery's tries again and again."""
    if isinstance(settings.broker, AmqpAddress):
        return []
    return await usable(place, settings.broker, broker_needs(settings.fleet, settings.broker.database))


def place_of(settings: Settings) -> Place:
    """Return where the broker is."""
    variable = "CLOSER_BROKER_URL" if settings.broker_url else "CLOSER_REDIS_URL"
    if not isinstance(settings.broker, AmqpAddress):
        return redis_place("broker", settings.public_broker_address, variable, settings.broker)
    place = Place("broker", settings.public_broker_address, variable)
    if ";" in settings.broker.url:  # several hosts: which of them it was is not known
        return place
    parts, tls = urlsplit(settings.broker.url), settings.broker.tls is not None
    port = parts.port or (5671 if tls else 5672)
    return Place("broker", place.address, variable, parts.hostname or "localhost", port, tls)


def _as_celery(settings: Settings, place: Place, connect: Callable[[], Any]) -> list[Line]:
    """Connect as a worker does, and try what it would do. Blocking."""
    connection = connect()
    try:
        connection.ensure_connection(max_retries=1, interval_start=0, timeout=_CONNECT_S)
        if isinstance(settings.broker, AmqpAddress):
            return [_queues(settings, place, connection)]
        pool = connection.default_channel.client.connection_pool
        needs = broker_needs(settings.fleet, settings.broker.database)
        wrong = refused(place, settings.broker.user, try_out(pool, needs))
    finally:
        with suppress(Exception):
            connection.release()
    words = "answers" if settings.broker_url else f"answers Celery's client: {_IS_THE_STORE}"
    return wrong or [Line("broker", Finding.OK, f"{place.address} {words}")]


def _queues(settings: Settings, place: Place, connection: Any) -> Line:
    from worker.broker import rabbitmq

    try:
        held = rabbitmq.declared(connection, settings.fleet)
    except rabbitmq.ForeignQueue as error:
        return place.wrong(error.problem, rabbitmq.REMEDY)
    if held:
        message = f"{place.address} answers; {held} messages in {settings.fleet.dead_letters} were given up"
        return Line("broker", Finding.WARNING, message, "look at them, then put them back: docs/rabbitmq.md tells how")
    return Line("broker", Finding.OK, f"{place.address} answers")
