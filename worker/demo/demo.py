"""Plays the demo: an embedded store, the simulated API and a real worker process, all in a temporary folder.

Nothing outside this machine is called, and no other closer's store or settings are used.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

from tasks.closure import OPEN_STATES, Closure, State
from tasks.errors import CloserError
from tasks.ledger.summary import Summary
from worker import private
from worker.construct import ledger_of
from worker.demo.progress import Look, View
from worker.demo.report import Report
from worker.demo.scenario import Scenario
from worker.settings import PREFIX, Settings, load
from worker.simulator.server import Simulator, run_in_thread
from worker.store.connect import connect
from worker.store.embedded import EmbeddedStore

# These pauses are short, so that what takes minutes with a real API takes seconds here.
_WORKER = {
    "CLOSER_RETRY_BASE": "0.2",
    "CLOSER_RETRY_CAP": "1",
    "CLOSER_RETRY_DEADLINE": "60",
    "CLOSER_REQUEST_TIMEOUT": "3",
    "CLOSER_LEASE": "10",
}
_LOOK_EVERY_S = 0.1
_LIMIT_S, _LIMIT_PER_GROUP_S = 60.0, 0.03
_STOP_S, _STORE_S = 10.0, 10.0
_SHOWN = (State.QUEUED, State.CLOSING, State.RETRYING, State.CLOSED, State.FAILED)
_CHUNK = 500


class DemoFailed(CloserError):
    """The demo did not come to its end. The text names the worker's log."""


def play(scenario: Scenario, view: View) -> Report:
    """Play the scenario, show its course in `view`, and return the report.

    Raises DemoFailed. Everything is removed at the end, but for the worker's log where something went wrong.
    """
    with _folder() as folder:
        settings = load(data_dir=folder / "store")
        simulator = Simulator(seed=scenario.seed, api_key=secrets.token_hex(16), faults=scenario.faults)
        scenario.place(simulator.groups)
        with _store(settings) as store, run_in_thread(simulator):
            report = _publish_and_watch(scenario, settings, store, simulator, folder, view)
        if not report.good:
            _keep_log(folder)
        return report


def _publish_and_watch(
    scenario: Scenario, settings: Settings, store: redis.Redis, simulator: Simulator, folder: Path, view: View
) -> Report:
    """Publish all entries, wait until nothing is left to do, and compare the ledger with the API's records."""
    with _worker(folder, _environment(settings, simulator)) as worker:
        started = time.monotonic()
        for entry in scenario.entries:
            store.xadd(settings.events_stream, entry)
        while not (look := _look(scenario, settings, simulator, time.monotonic() - started)).over:
            view.show(look)
            _check(worker, look, folder)
            time.sleep(_LOOK_EVERY_S)
        view.show(look)
    closures = asyncio.run(_closures(settings, list(scenario.groups)))
    calls = simulator.groups.calls.copy()
    return Report(scenario, closures, simulator.records(), calls, look.rejected, look.seconds, _kept_log(folder))


def _look(scenario: Scenario, settings: Settings, simulator: Simulator, seconds: float) -> Look:
    """Return all numbers of one moment. The ledger counts its own in one step, so they fit together."""
    summary = asyncio.run(_summary(settings))
    return Look(
        seconds,
        len(scenario.groups),
        summary.backlog,
        summary.rejected,
        {state.value: summary.states[state] for state in _SHOWN},
        sum(summary.states[state] for state in OPEN_STATES),
        simulator.groups.calls.copy().total(),
        " ".join(one.reason for one in summary.gate.standing),
    )


async def _summary(settings: Settings) -> Summary:
    client = connect(settings)
    try:
        return await ledger_of(settings, client).catalogue.summary(settings.events_stream)
    finally:
        await client.aclose()


def _check(worker: subprocess.Popen[bytes], look: Look, folder: Path) -> None:
    """Raises DemoFailed when the worker has died, or when the demo takes longer than 60 s and 0.03 s per group."""
    if worker.poll() is not None:
        words = (folder / "worker.log").read_text(errors="replace").split("\n")
        last = next((line for line in reversed(words) if line), "none")
        raise DemoFailed(
            f"the demo's worker ended with exit code {worker.returncode}; its last words: {last}\n"
            f"its log: {_keep_log(folder)}"
        )
    limit_s = _LIMIT_S + _LIMIT_PER_GROUP_S * look.groups
    if look.seconds > limit_s:
        raise DemoFailed(
            f"the demo did not come to its end in {limit_s:.0f} s: {look.ended} of {look.groups} groups ended"
            f"{f', the gate is shut ({look.shut})' if look.shut else ''}; the worker's log: {_keep_log(folder)}"
        )


async def _closures(settings: Settings, references: list[str]) -> dict[str, Closure | None]:
    client = connect(settings)
    ledger, closures = ledger_of(settings, client), dict[str, Closure | None]()
    try:
        for start in range(0, len(references), _CHUNK):
            chunk = references[start : start + _CHUNK]
            closures |= zip(chunk, await ledger.read(chunk), strict=True)
    finally:
        await client.aclose()
    return closures


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="closer-demo-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _kept_log(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}-worker.log")


def _keep_log(folder: Path) -> Path:
    """Save the worker's log before the folder is deleted, and return its new path.

    It is moved. A copy would follow a link that another user had put in its place.
    """
    log, kept = folder / "worker.log", _kept_log(folder)
    if log.exists():
        log.rename(kept)
    return kept


@contextmanager
def _store(settings: Settings) -> Iterator[redis.Redis]:
    """Yield a client of an embedded store, which runs meanwhile."""
    embedded = EmbeddedStore(settings)
    try:
        embedded.start()
        with redis.Redis(
            unix_socket_path=str(settings.socket_path), socket_timeout=_STORE_S, socket_connect_timeout=_STORE_S
        ) as store:
            yield store
    finally:
        embedded.stop()
        shutil.rmtree(settings.socket_path.parent, ignore_errors=True)  # it is elsewhere if the name is long


@contextmanager
def _worker(folder: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker meanwhile. Raises DemoFailed when it does not stop in 10 s.

    It is in a session of its own, so Ctrl-C reaches only the demo, which then stops the worker.
    """
    with os.fdopen(private.open_file(folder / "worker.log", os.O_WRONLY | os.O_CREAT), "wb") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "worker", "worker"],
            env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        yield worker
        worker.terminate()
        worker.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        raise DemoFailed(f"the demo's worker did not stop in {_STOP_S:.0f} s; its log: {_keep_log(folder)}") from None
    finally:
        worker.kill()
        worker.wait(_STOP_S)


def _environment(settings: Settings, simulator: Simulator) -> dict[str, str]:
    """Return the worker's environment: this process's own, without `CLOSER_*` variables and without proxies.

    The demo must not reach another closer, and everything it calls is on this machine.
    """
    inherited = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(PREFIX) and not name.lower().endswith("_proxy")
    }
    return inherited | _WORKER | {
        "CLOSER_DATA_DIR": str(settings.data_dir),
        "CLOSER_API_BASE_URL": simulator.base_url,
        "CLOSER_API_KEY": simulator.settings.api_key or "",
    }  # fmt: skip
