"""The groups to close, and where the API is: what every system under test is told, by its environment."""

from __future__ import annotations

import os
from collections.abc import Iterator

HEADERS = {"x-api-key": "a-key", "x-api-version": "1.1", "Accept": "application/json"}


def references(count: int) -> Iterator[str]:
    """The references of the first `count` groups."""
    return (f"sg_{number:032d}" for number in range(count))


def close_url(reference: str) -> str:
    """Where this group is closed."""
    return f"{os.environ['BENCH_API_URL']}/shipment_groups/{reference}/close"


def store_url() -> str:
    """The store of this run."""
    return os.environ["BENCH_STORE_URL"]


def concurrency() -> int:
    """How many calls may be in flight."""
    return int(os.environ["BENCH_CONCURRENCY"])
