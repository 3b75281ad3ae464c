"""The console script on an empty, real store."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from subprocess import CompletedProcess
from typing import Any, TypeVar

import pytest
from redis.asyncio import Redis

from tasks.ledger.ledger import Ledger
from tests.console import called
from tests.operations.seed import Seed, sow
from tests.support import run

T = TypeVar("T")


def _ended(done: CompletedProcess[str], code: int) -> CompletedProcess[str]:
    assert done.returncode == code, f"{done.args}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


class Cli:
    """Runs commands of closer's against one store."""

    def __init__(self, store_url: str) -> None:
        self.url = store_url
        self.settings: dict[str, Any] = {"redis_url": store_url, "operator": "olga"}

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "", **settings: Any) -> CompletedProcess[str]:
        """Run a command in this process; it must end with that exit code."""
        return _ended(called(*arguments, stdin=stdin, **(self.settings | settings)), code)

    def process(self, *arguments: str, code: int = 0, **settings: Any) -> CompletedProcess[str]:
        """The same in a process of its own, with standard streams as a shell gives them."""
        return _ended(run(*arguments, **(self.settings | settings)), code)

    def text(self, *arguments: str, code: int = 0, **settings: Any) -> str:
        """The stdout of a command."""
        return self(*arguments, code=code, **settings).stdout

    def said(self, *arguments: str, **settings: Any) -> tuple[int, str]:
        """The exit code and the stderr of a command."""
        done = called(*arguments, **(self.settings | settings))
        return done.returncode, done.stderr

    def json(self, *arguments: str, code: int = 0, **settings: Any) -> Any:
        """Its one JSON document."""
        return json.loads(self.text(*arguments, "--json", code=code, **settings))

    def lines(self, *arguments: str, code: int = 0, **settings: Any) -> list[Any]:
        """Its JSON objects, one a line."""
        return [json.loads(line) for line in self.text(*arguments, "--json", code=code, **settings).splitlines()]

    def sow(self, seeds: Sequence[Seed]) -> None:
        """Put closures into the ledger."""
        sow(self.url, seeds)


@pytest.fixture
def cli(store_url: str) -> Cli:
    """The console script on an empty store."""
    return Cli(store_url)


def at_ledger(url: str, work: Callable[[Ledger], Awaitable[T]]) -> T:
    """Do something at the ledger."""

    async def run() -> T:
        client = Redis.from_url(url)
        try:
            return await work(Ledger(client))
        finally:
            await client.aclose()

    return asyncio.run(run())
