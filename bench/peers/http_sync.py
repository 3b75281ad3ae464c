"""The threaded peers' HTTP client: requests, with a session for each thread, so that connections are kept."""

from __future__ import annotations

import threading

import requests

from bench.groups import HEADERS, close_url

_local = threading.local()


def close_group(reference: str) -> None:
    """Close one group, and raise when that fails."""
    if not hasattr(_local, "session"):
        _local.session = requests.Session()
        _local.session.headers.update(HEADERS)
    response = _local.session.post(close_url(reference), timeout=15)
    response.raise_for_status()
    response.json()
