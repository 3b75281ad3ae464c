"""The examples of docs/publishing.md work as they are printed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import redis
from redis.asyncio import Redis

from tests.web.conftest import Console, give
from tests.web.taking import take_in

PAGE = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text()
EXAMPLES = re.findall(r"<!-- example: (\w+) -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
COMMANDS = {"curl": ["sh", "-e", "-c"], "python": [sys.executable, "-c"]}


@pytest.mark.parametrize(("kind", "text"), EXAMPLES, ids=[f"{kind} {n}" for n, (kind, _) in enumerate(EXAMPLES)])
async def test_example(console: Console, store: redis.Redis, real: Redis, kind: str, text: str) -> None:
    """Each is run with the console's address and a token; its groups are received, and none is rejected."""
    if kind == "curl" and not shutil.which("curl"):
        pytest.skip("curl is not installed")
    token = give(store, "leeds", "emitter", sources=["/leeds/wms"])
    environ = os.environ | {"URL": console.url, "TOKEN": token}
    command = [*COMMANDS[kind], text]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "cage-" in done.stdout
    closures, letters = await take_in(real)
    named = set(re.findall(r"sg_\d+", text)) or {"sg_6", "sg_7"}
    assert {one.reference for one in closures} == named
    assert letters == []


def test_there_are_examples() -> None:
    """The page's form has not changed under this test."""
    assert [kind for kind, _ in EXAMPLES] == ["curl", "python", "python"]
