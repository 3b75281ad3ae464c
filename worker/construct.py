"""Builds the ledger and the API's client from the settings.

The worker, the commands and the operations all get them here, so that none is built in another way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tasks.api.address import api_address
from tasks.ledger.ledger import Ledger
from worker.settings import Settings
from worker.store.connect import Redis

if TYPE_CHECKING:
    from tasks.api.client import SortedApi


def ledger_of(settings: Settings, redis: Redis) -> Ledger:
    """Return the fleet's ledger in the store that `redis` is connected to."""
    api = api_address(settings.api_base_url)
    return Ledger(redis, deadline_s=settings.retry_deadline, namespace=settings.fleet, api=api)


def api_of(settings: Settings, *, connections: int) -> SortedApi:
    """Return a client of the API.

    `connections`: how many it may have at the same time. Raises ConfigurationError when there is no key, or when the
    proxy or the certificates cannot be used.
    """
    from tasks.api.client import SortedApi  # this import is slow, and most commands make no call

    return SortedApi(
        base_url=settings.api_base_url,
        key=settings.need_api_key(),
        version=settings.api_version,
        timeout_s=settings.request_timeout,
        connections=connections,
    )
