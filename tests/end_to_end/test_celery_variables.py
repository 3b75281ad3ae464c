"""Celery's own variables and options: none of them makes a worker another one than closer's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis
from celery import Celery

from tests.end_to_end.fleet import SETTINGS
from tests.operations.test_check import findings
from tests.support import Process, environment, key_of, publish, run, until
from worker.simulator.server import Simulator, run_in_thread

ROOT = Path(__file__).parents[2]
FOREIGN = 5  # the number of a database that belongs to another program


@pytest.fixture
def foreign(store_url: str) -> str:
    """The address of another program's broker, with its tasks on it."""
    url = f"{store_url.rpartition('/')[0]}/{FOREIGN}"
    with Celery("stranger", broker=url, set_as_current=False) as stranger:
        for number in range(3):
            stranger.send_task("foreign.task", [number])
    return url


def variables(foreign: str, folder: Path, started: str = "closer") -> dict[str, str]:
    """Everything that would steer Celery elsewhere; its own program is ended by some before it reads ours."""
    (folder / "elsewhere.py").write_text(f"broker_url = {foreign!r}\ntask_always_eager = True\n")
    addresses = ("CELERY_BROKER_URL", "CELERY_BROKER_READ_URL", "CELERY_BROKER_WRITE_URL", "CELERY_BROKER")
    return dict.fromkeys(addresses, foreign) | {
        "CELERY_RESULT_BACKEND": "no-such-backend://",
        "CELERY_CONFIG_MODULE": "elsewhere",
        "CELERY_CONFIG": "elsewhere",
        "CELERY_LOADER": "default",
        "CELERY_CUSTOM_WORKER_POOL": "no.such:Pool",
        "CELERY_WORKER_QUEUES": "elsewhere",
        "CELERY_WORKER_PURGE": "1",
        "CELERY_WORKER_POOL": "solo",
        "CELERY_WORKER_PREFETCH_MULTIPLIER": "99",
        "CELERY_ALWAYS_EAGER": "1",
        **({} if started == "celery" else {"CELERY_WORKER_REVOKES_MAX": "odd", "CELERY_BENCH_EVERY": "odd"}),
    }


@contextmanager
def celery(folder: Path, *options: str, **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """`celery -A worker.app worker` with these options and variables; its output is in the file `log`."""
    with (folder / "log").open("wb") as log:
        command = [sys.executable, "-m", "celery", "-A", "worker.app", "worker", *options]
        given = os.environ | more | {"PYTHONPATH": str(folder)}
        with subprocess.Popen(command, env=given, cwd=ROOT, stdout=log, stderr=log) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.mark.long(but=["closer"])
@pytest.mark.parametrize("started", ["closer", "celery"])
def test_variables_have_no_effect(
    store: redis.Redis, store_url: str, foreign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: str
) -> None:
    """Another program's tasks stay where they are, our groups are closed, and each variable is named."""
    names = variables(foreign, tmp_path, started)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    publish(store, ["sg_1"])
    with run_in_thread(Simulator()) as (api, _):
        settings = {**SETTINGS, "redis_url": store_url, "api_base_url": api, "data_dir": tmp_path / "data"}
        if started == "closer":
            with Process(tmp_path, "worker", **settings) as worker:
                until(lambda: store.zscore(key_of("closed"), "sg_1"), "the group closed")
                assert worker.stop() == 0, worker.output
                output = worker.output
        else:
            with celery(tmp_path, **environment(**settings)) as process:
                until(lambda: store.zscore(key_of("closed"), "sg_1"), "the group closed")
                process.terminate()
                assert process.wait(45) == 0
            output = (tmp_path / "log").read_text()
    with redis.Redis.from_url(foreign) as other:
        assert other.llen("celery") == 3
        assert not other.hlen("unacked")
    for name in names:
        assert f"{name} is set and has no effect" in output


def test_check_names_them_and_looks_at_the_workers_broker(
    store: redis.Redis, store_url: str, foreign: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`check` names each variable with its remedy, and shows the address that a worker would connect to."""
    names = variables(foreign, tmp_path)
    for name, value in names.items():
        monkeypatch.setenv(name, value)
    with run_in_thread(Simulator()) as (api, _):
        done = run("check", "--json", redis_url=store_url, broker_url=store_url, api_base_url=api)
    document = json.loads(done.stdout)
    assert findings(document)["configuration"] == "warning"
    told = {line["message"]: line["remedy"] for line in document["checks"]}
    assert all("unset it" in told[f"{name} is set and has no effect"] for name in names)
    [broker] = [line["message"] for line in document["checks"] if line["name"] == "broker"]
    assert broker.startswith(store_url), broker
    assert foreign not in done.stdout


@pytest.mark.long(but=["options0---queues"])
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-Q", "elsewhere"], "--queues"),
        (["-P", "solo"], "--pool"),
        (["--purge"], "--purge"),
        (["--", "broker.url=redis://127.0.0.1:1/5"], "broker_url"),
    ],
)
def test_options_that_make_another_worker_are_refused(
    store: redis.Redis, store_url: str, tmp_path: Path, options: list[str], words: str
) -> None:
    """The worker does not start, the reason names the option, and nothing was taken from the queue."""
    store.lpush("celery", "kept")
    with celery(tmp_path, *options, **environment(redis_url=store_url, data_dir=tmp_path)) as process:
        assert process.wait(60) == 2
    assert f"cannot start with {words}: " in (tmp_path / "log").read_text()
    assert store.lrange("celery", 0, -1) == [b"kept"]


def test_the_broker_option_has_no_effect(store: redis.Redis, store_url: str, foreign: str, tmp_path: Path) -> None:
    """`celery -b URL` sets a variable of Celery's, which counts for nothing, and is named."""
    publish(store, ["sg_1"])
    with run_in_thread(Simulator()) as (api, _):
        settings = environment(**SETTINGS, redis_url=store_url, api_base_url=api, data_dir=tmp_path)
        with (tmp_path / "log").open("wb") as log:
            command = [
                sys.executable,
                "-m",
                "celery",
                "-A",
                "worker.app",
                "-b",
                foreign,
                "--loader",
                "default",
                "worker",
            ]
            with subprocess.Popen(command, env=settings, cwd=ROOT, stdout=log, stderr=log) as process:
                try:
                    until(lambda: store.zscore(key_of("closed"), "sg_1"), "the group closed")
                finally:
                    process.kill()
    assert "CELERY_BROKER_URL is set and has no effect" in (tmp_path / "log").read_text()


@pytest.mark.long
def test_options_without_effect_are_named(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """An option that closer's pool does not heed does no harm, and the log says that it has no effect."""
    publish(store, ["sg_1"])
    with run_in_thread(Simulator()) as (api, _):
        settings = environment(**SETTINGS, redis_url=store_url, api_base_url=api, data_dir=tmp_path)
        with celery(tmp_path, "--time-limit", "1", "--max-tasks-per-child", "1", **settings) as process:
            until(lambda: store.zscore(key_of("closed"), "sg_1"), "the group closed")
            process.terminate()
            assert process.wait(45) == 0
    log = (tmp_path / "log").read_text()
    for name in ("--time-limit", "--max-tasks-per-child"):
        assert f"{name} has no effect on closer's workers" in log
    assert "--soft-time-limit" not in log
