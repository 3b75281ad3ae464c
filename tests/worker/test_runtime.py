"""The runtime: a message that cannot be taken in hand stays in the queue, whatever state the loop is in."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from pydantic import SecretStr

from tasks.errors import ConfigurationError, NotTaken
from tests.support import count, key_of, publish, until
from worker.app import Worker
from worker.process.runtime import Runtime
from worker.settings import Settings


async def _dispatch(references: list[str]) -> None:
    """A broker that takes every message, and delivers none."""


@pytest.fixture
def died() -> threading.Event:
    """Set when a part of the runtime has died."""
    return threading.Event()


@pytest.fixture
def settings(store_url: str, tmp_path: Path) -> Settings:
    """A worker's settings."""
    return Settings(redis_url=SecretStr(store_url), api_key=SecretStr("k"), data_dir=tmp_path / "data", lease=20)


@pytest.fixture
def runtime(settings: Settings, died: threading.Event) -> Iterator[Runtime]:
    """A running one."""
    made = Runtime(settings, _dispatch, lambda _: died.set())
    made.start()
    yield made
    made.stop()


def test_after_the_end(runtime: Runtime, store: redis.Redis, died: threading.Event) -> None:
    """A message that Celery delivers after the loop has ended goes back, and stopping twice is not an error."""
    runtime.stop()
    with pytest.raises(NotTaken, match="stopping"):
        runtime.hand_over(["sg_1"], "t")
    runtime.drain()
    runtime.stop()
    assert not died.is_set()
    assert not store.exists(key_of("c:sg_1"))


def test_while_it_ends(runtime: Runtime, store: redis.Redis) -> None:
    """A message that waits for a store that is full goes back when the worker is told to stop."""
    store.config_set("maxmemory", 1)
    try:
        with ThreadPoolExecutor(1) as celery:
            taking = celery.submit(runtime.hand_over, ["sg_1"], "t")
            until(lambda: store.info("commandstats").get("cmdstat_evalsha", {}).get("rejected_calls", 0), "a refusal")
            runtime.stop()
            with pytest.raises(NotTaken):
                taking.result(20)
    finally:
        store.config_set("maxmemory", 0)


def test_a_part_that_dies_gives_its_messages_back(
    runtime: Runtime, store: redis.Redis, died: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """When a part dies the process is told, the log names the part, and a message in hand goes back to the queue."""
    store.config_set("maxmemory", 1)
    try:
        with ThreadPoolExecutor(1) as celery:
            taking = celery.submit(runtime.hand_over, ["sg_1"], "t")
            no_settlement: Any = None
            runtime._loop.call_soon_threadsafe(runtime._components.settler.put, no_settlement)
            assert died.wait(60), "nobody was told"
            with pytest.raises(NotTaken):
                taking.result(20)
    finally:
        store.config_set("maxmemory", 0)
    [line] = [record.getMessage() for record in caplog.records if record.levelname == "CRITICAL"]
    assert line.startswith("the part 'settler' died (")


def test_a_broken_ledger(
    runtime: Runtime, store: redis.Redis, died: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """Keys that hold something else end no part: each says so once, waits, and goes on when the keys are free."""
    names = ["agenda", "workers", "discarded"]
    for name in names:
        store.delete(key_of(name))
        store.set(key_of(name), "not ours")
    publish(store, ["sg_1"])
    runtime.open()
    parts = ["intake", "sweep", "heartbeat", "prune", "inspection"]
    until(lambda: all(f"{part} waits" in caplog.text for part in parts), "each part's word")
    assert not died.is_set()
    for name in names:
        store.delete(key_of(name))
    parts = ["intake", "sweep", "heartbeat"]
    until(lambda: all(f"{part} goes on" in caplog.text for part in parts), "each part's second word")
    publish(store, ["sg_2"])
    until(lambda: count(store, "queued"), "the next event")
    assert store.hlen(key_of("workers")) == 1
    lines = [record.getMessage() for record in caplog.records]
    assert [sum(line.startswith(f"{part} goes on") for line in lines) for part in parts] == [1] * len(parts)
    assert not died.is_set()


def test_a_sign_that_cannot_be_written(
    runtime: Runtime, settings: Settings, died: threading.Event, caplog: pytest.LogCaptureFixture
) -> None:
    """A sign of life that cannot be written is said, and stops nothing."""
    folder = settings.data_dir / "workers"

    def replaced() -> bool:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(FileExistsError):  # the worker was faster, and has made it again
            folder.symlink_to(settings.data_dir)
        return folder.is_symlink()

    until(replaced, "a link in place of the folder")
    runtime.open()
    until(lambda: "signs of life (`closer health`) waits" in caplog.text, "the trouble")
    assert not died.is_set()
    runtime.hand_over(["sg_1"], "t")


def test_a_start_that_fails(settings: Settings, died: threading.Event, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error at the start is raised; the thread has ended then, and stopping it is not an error."""
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HTTPS_PROXY", "socks5://proxy:1080")
    made = Runtime(settings.model_copy(update={"api_base_url": "https://api.invalid"}), _dispatch, lambda _: died.set())
    with pytest.raises(ConfigurationError, match="HTTPS_PROXY"):
        made.start()
    made.drain()
    made.stop()
    until(lambda: not made._thread.is_alive(), "the end of its thread")
    assert not died.is_set()


def test_a_message_before_the_start() -> None:
    """A worker that has not started, or has stopped, leaves every message in the queue."""
    with pytest.raises(NotTaken, match="not started"):
        Worker().hand_over(["sg_1"], "t")


def test_trouble_of_any_characters(runtime: Runtime, store: redis.Redis) -> None:
    """What keeps a worker from its work may be told in half characters: its heartbeat tells of it all the same."""
    runtime._components.settler.outages._text = "half a character: \ud800"
    until(
        lambda: b"half a character: \\\\ud800" in (store.hget(key_of("workers"), runtime.name) or b""), "the heartbeat"
    )
