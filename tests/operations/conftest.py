"""The console script on an empty, real store."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Awaitable, Callable, Sequence
from subprocess import CompletedProcess
from typing import Any, TypeVar

import pytest
from click.testing import CliRunner, Result
from redis.asyncio import Redis

from tasks.ledger.ledger import Ledger
from tests.operations.seed import Seed, sow
from tests.support import environment, run
from worker.cli.commands import cli as cli_group

T = TypeVar("T")


class Cli:
    """Runs commands of closer's against one store."""

    def __init__(self, store_url: str) -> None:
        self.url = store_url
        self.settings: dict[str, object] = {"redis_url": store_url, "operator": "olga"}

    def __call__(self, *arguments: str, code: int = 0, stdin: str = "", **settings: object) -> CompletedProcess[str]:
        """Run the console script; it must end with that exit code."""
        done = run(*arguments, timeout_s=60.0, stdin=stdin, **(self.settings | settings))
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def text(self, *arguments: str, code: int = 0, **settings: object) -> str:
        """The stdout of the same command, in this process: starting one for each look would cost most of the time."""
        done = self._in_process(*arguments, **settings)
        assert done.exit_code == code, f"{arguments}: {done.exit_code}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def said(self, *arguments: str, **settings: object) -> tuple[int, str]:
        """The exit code and the stderr of a command, in this process."""
        done = self._in_process(*arguments, **settings)
        return done.exit_code, done.stderr

    def _in_process(self, *arguments: str, **settings: object) -> Result:
        clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("CLOSER_")}
        given = environment(**(self.settings | settings))
        return CliRunner(env=clean | given).invoke(cli_group, arguments, catch_exceptions=False)

    def json(self, *arguments: str, code: int = 0, **settings: object) -> Any:
        """Its one JSON document."""
        return json.loads(self.text(*arguments, "--json", code=code, **settings))

    def lines(self, *arguments: str, code: int = 0, **settings: object) -> list[Any]:
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
