"""`closer health`, and workers that are ill inside: they end as a failure that says why, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.asyncio import Redis

from tasks.ledger.ledger import Ledger
from tests.end_to_end.fleet import wait_for_all
from tests.faults.inside import planted
from tests.support import CLOSER, STREAM, Process, cloud_event, count, environment, free_port, publish, run, until
from worker.process.signs import Signs, own_sign
from worker.simulator.faults import Faults
from worker.simulator.server import Simulator, run_in_thread

SETTINGS = {"retry_base": 0.05, "retry_cap": 0.2, "request_timeout": 2, "lease": 3}
SOFTWARE_ERROR = 70

# The limit of 40 s, shortened; and a consumer that is connected, and asks the broker for nothing.
DEAF = """
import worker.process.liveness
from worker.broker.redis_transport import Channel
worker.process.liveness.IDLE_S = 2.0
Channel._brpop_start = lambda self, *arguments: None
"""
# A part breaks as soon as there is a file `break` in the worker's folder.
BREAKS = """
import os
from {module} import {kind}
sound = {kind}.{method}
async def {method}(self, *arguments):
    if os.path.exists("break"):
        raise LookupError("a defect of our own")
    return await sound(self, *arguments)
{kind}.{method} = {method}
"""
PARTS = {
    "intake": ("worker.intake.pump", "Pump", "step"),
    "sweep": ("worker.dispatch.sweep", "Sweep", "step"),
    "settler": ("worker.attempts.settler", "Settler", "_write"),
}


def gate(url: str, verb: str, why: str) -> None:
    """Pause or resume, as an operator does."""

    async def do() -> None:
        client = Redis.from_url(url)
        ledger = Ledger(client)
        await (ledger.gate.pause if verb == "pause" else ledger.gate.resume)(by="test", why=why)
        await client.aclose()

    asyncio.run(do())


def test_waiting_for_a_worker(store_url: str, tmp_path: Path) -> None:
    """`--wait` returns as soon as a worker that starts is ready; with exit code 1 when none has come in time."""
    settings: dict[str, Any] = {"redis_url": store_url, "data_dir": tmp_path / "data"}
    assert run("health", "--ready", "--wait", "0.5", **settings).returncode == 1
    with (
        run_in_thread() as (url, _),
        Process(tmp_path, "health", "--ready", "--wait", "60", **settings) as waits,
        Process(tmp_path, "worker", api_base_url=url, **settings),
    ):
        assert waits.process.wait(60) == 0
        assert "the gate is open" in waits.output


def test_health(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """Without a worker the answer is no. With one it lives, and it is ready while gate, store and broker are."""
    settings: dict[str, Any] = {**SETTINGS, "redis_url": store_url, "data_dir": tmp_path / "data"}

    def health(*options: str, **changed: object) -> tuple[int, str]:
        done = run("health", *options, **{**settings, **changed})
        assert len(done.stdout.splitlines()) == 1
        return done.returncode, done.stdout

    code, line = health("--live")
    assert (code, "no worker runs here" in line) == (1, True)
    with (
        run_in_thread(Simulator()) as (base_url, _),
        Process(tmp_path, "worker", api_base_url=base_url, **settings) as worker,
    ):
        until(lambda: health("--ready")[0] == 0, "a worker that is ready")
        assert health() == health("--live", "--wait", "0") == (0, "1 live\n")
        assert json.loads(health("--json")[1]) == {"asked": "live", "ok": True, "message": "1 live"}
        assert health("--ready") == (0, "1 live, store and broker answer, the gate is open\n")
        gate(store_url, "pause", "Sorted upgrades")
        assert health("--live")[0] == 0
        assert health("--ready") == (1, "1 live; the gate is shut (paused): Sorted upgrades\n")
        gate(store_url, "resume", "")
        code, line = health("--ready", redis_url="redis://127.0.0.1:1/0")
        assert (code, "the store does not answer" in line) == (1, True)
        code, line = health("--ready", broker_url="redis://127.0.0.1:1/0")
        assert (code, "the broker does not answer" in line) == (1, True)
        worker.stop(signal.SIGKILL)
        assert health()[0] == 1


@pytest.mark.long
@pytest.mark.parametrize("away", ["store", "broker"])
def test_waiting_at_the_start(store_url: str, tmp_path: Path, away: str) -> None:
    """A worker that waits for its store or its broker lives and is not ready: a restart would not help."""
    settings: dict[str, Any] = {"redis_url": store_url, "data_dir": tmp_path / "data", "api_base_url": "http://[::1]:1"}
    settings[{"store": "redis_url", "broker": "broker_url"}[away]] = f"redis://127.0.0.1:{free_port()}/0"
    with Process(tmp_path, "worker", **settings) as worker:
        until(lambda: "trying again" in worker.output.lower() or worker.process.poll() is not None, "Celery's wait")
        done = run("health", "--live", **settings)
        assert (done.returncode, done.stdout) == (0, "1 live\n"), worker.output
        done = run("health", "--ready", **settings)
        assert done.returncode == 1
        assert "lives, but has not begun" in done.stdout


LIGHT = """
import sys
from worker.cli.main import main
try:
    main({arguments})
except SystemExit:
    print(sorted({{"click", "pydantic", "pydantic_settings", "redis", "rich", "asyncio", "celery"}} & set(sys.modules)))
"""


@pytest.mark.parametrize(
    "arguments", [["health"], ["health", "--live"], ["health", "--json"], ["health", "--json", "--live"]]
)
def test_a_probe_is_light(tmp_path: Path, arguments: list[str]) -> None:
    """A probe of liveness imports nothing that is slow: Kubernetes grants it one second, also on a busy machine."""
    done = subprocess.run(
        [sys.executable, "-c", LIGHT.format(arguments=arguments)],
        env=environment(data_dir=tmp_path), capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert "no worker runs here" in done.stdout
    assert done.stdout.endswith("[]\n")


@pytest.mark.parametrize("lives", [True, False])
@pytest.mark.parametrize("more", [[], ["--wait", "0.1"]], ids=["once", "wait"])
def test_a_probe_of_life_reads_no_setting(tmp_path: Path, lives: bool, more: list[str]) -> None:
    """A setting that is wrong where the probe runs makes no worker dead; only a wrong data directory is exit code 2."""
    signs = Signs(tmp_path)
    if lives:
        signs.write(own_sign())
    wrong: dict[str, Any] = {"lease": "x", "redis_url": "nonsense"}
    assert run("health", "--live", *more, data_dir=tmp_path, **wrong).returncode == (0 if lives else 1)
    refused = run("health", "--ready", *more, data_dir=tmp_path, **wrong)
    assert refused.returncode == 2
    assert "CLOSER_LEASE" in refused.stderr
    nowhere = run("health", "--live", *more, data_dir="~nobody-has-this-name/x", **wrong)
    assert nowhere.returncode == 2
    assert "CLOSER_DATA_DIR" in nowhere.stderr
    signs.remove(own_sign())


@pytest.mark.parametrize("place", ["full", "closed"])
def test_a_probe_that_nobody_reads(tmp_path: Path, place: str) -> None:
    """The exit code of a probe does not hang on whether its line can be written."""
    line = f"{shlex.join([*CLOSER, 'health'])} {'>/dev/full' if place == 'full' else '>&-'}"
    done = subprocess.run(
        line, shell=True, env=environment(data_dir=tmp_path), capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.long
def test_a_consumer_that_takes_nothing(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A worker that is connected, and whose consumer takes no messages, ends as a failure, and the next one works."""
    settings = {**SETTINGS, "redis_url": store_url, "data_dir": tmp_path / "data"}
    with run_in_thread(Simulator()) as (base_url, _):
        given = {**settings, "api_base_url": base_url}
        with planted(tmp_path / "deaf", DEAF):
            deaf = Process(tmp_path, "worker", **given)
        with deaf:
            publish(store, ["sg_1"])
            assert deaf.process.wait(60) == SOFTWARE_ERROR, deaf.output
        [line] = [line for line in deaf.output.splitlines() if " CRITICAL " in line]
        assert "messages are on their way, and Celery's consumer, though connected, takes none" in line
        with Process(tmp_path, "worker", **given) as worker:
            wait_for_all(store, 1, worker)


@pytest.mark.long
@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_dies(store: redis.Redis, store_url: str, tmp_path: Path, part: str) -> None:
    """A defect in a part ends the process as a failure that names the part; the next worker closes all, none twice."""
    groups = [f"sg_{number:03d}" for number in range(200)]
    module, kind, method = PARTS[part]
    settings = {**SETTINGS, "redis_url": store_url, "data_dir": tmp_path / "data"}
    with run_in_thread(Simulator(faults=Faults(latency_s=0.05))) as (base_url, simulator):
        given = {**settings, "api_base_url": base_url}
        with planted(tmp_path / "breaks", BREAKS.format(module=module, kind=kind, method=method)):
            ill = Process(tmp_path, "worker", **given, concurrency=4)
        with ill:
            publish(store, groups)
            until(lambda: count(store, "closed") >= 10, "the middle of the work")
            (tmp_path / "break").touch()
            store.xadd(STREAM, {"event": cloud_event("sg_last")})
            assert ill.process.wait(60) == SOFTWARE_ERROR, ill.output
        (tmp_path / "break").unlink()
        assert f"the part '{part}' died (a defect of our own); this process stops, start it again" in ill.output
        assert ill.output.count("reject requeue") < 20, "Celery went on taking messages"
        with Process(tmp_path, "worker", **given) as worker:
            wait_for_all(store, len(groups) + 1, worker)
            assert worker.stop() == 0, worker.output
        assert {simulator.records()[ref].effective_closes for ref in [*groups, "sg_last"]} == {1}
