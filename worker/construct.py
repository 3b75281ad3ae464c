"""Builds the ledger, its catalogue and the client of the API from the settings, for worker, commands and operations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.api.address import api_address
from tasks.ledger.catalogue import Catalogue
from tasks.ledger.ledger import Ledger
from worker.settings import Settings
from worker.store.connect import Redis

if TYPE_CHECKING:
    from tasks.api.client import SortedApi


def ledger_of(settings: Settings, redis: Redis) -> Ledger:
    """The fleet's ledger in the store behind `redis`."""
    api = api_address(settings.api_base_url)
    return Ledger(redis, deadline_s=settings.retry_deadline, namespace=settings.fleet, api=api)


def catalogue_of(settings: Settings, redis: Redis) -> Catalogue:
    """What may be looked up in the same ledger."""
    return Catalogue(redis, namespace=settings.fleet)


def api_of(settings: Settings, *, connections: int) -> SortedApi:
    """A client of the API with at most so many connections. Raises ConfigurationError when there is no key."""
    from tasks.api.client import SortedApi  # it loads slowly, and most commands make no call

    return SortedApi(
        base_url=settings.api_base_url,
        key=settings.need_api_key(),
        version=settings.api_version,
        timeout_s=settings.request_timeout,
        connections=connections,
    )
