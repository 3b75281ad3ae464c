"""A Redis 7 of the tests' own, where the program is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.support import free_port, until


@contextmanager
def redis_server(folder: Path) -> Iterator[int]:
    """The port of a Redis whose data are in `folder`. The test is skipped where `redis-server` is not installed."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.skip("redis-server is not installed here")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--appendonly", "yes"]
    with (folder / "redis.log").open("wb") as log, subprocess.Popen([program, *options], stdout=log) as server:
        try:
            with redis.Redis(port=port) as client:
                until(lambda: _answers(client), "an answer of redis-server")
            yield port
        finally:
            server.kill()


def _answers(client: redis.Redis) -> bool:
    try:
        return bool(client.ping())
    except redis.ConnectionError:
        return False
