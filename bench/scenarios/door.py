"""How many single events a second the HTTP door takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import httpx

from bench.environments import ROOT
from bench.lab import STREAM, Lab, until
from bench.measure import usage
from bench.options import Options
from bench.report import Section, kilo
from tests.support import CLOSER, environment, free_port

_CONNECTIONS = (1, 16, 64)
_SECONDS = 10.0


def measure(lab: Lab, options: Options) -> Iterator[Section]:
    """One console, one program that sends; a token, as in service."""
    lab.clear(0, 0.0)
    port = free_port()
    given = environment(redis_url=lab.store_url, http_port=port, http_rate_limit=0, operator="bench")
    token = _token(given)
    with lab.process([*CLOSER, "console"], given) as pid:
        until(lambda: _answers(port), "the console")
        rows = [_row(lab, port, token, pid, connections) for connections in _CONNECTIONS]
    yield Section(
        "The door: single events by HTTP",
        [
            f"`POST /v1/events` with a token, one event in a request, {_SECONDS:g} s each; no worker runs. The sender",
            "is one process on bare sockets. It, the console and the store share the machine. `lost`: answered with",
            "202, and not on the stream.",
        ],
        ["connections", "events/s", "p50 ms", "p99 ms", "console CPU µs", "store CPU µs", "lost"],
        rows,
    )


def _row(lab: Lab, port: int, token: str, pid: int, connections: int) -> list[str]:
    before, console, store = lab.store.xlen(STREAM), usage(pid).cpu_s, usage(lab.store_pid).cpu_s
    command = [sys.executable, "-m", "bench.sender", str(port), str(connections), str(_SECONDS)]
    environ = os.environ | {"BENCH_TOKEN": token}
    done = subprocess.run(command, env=environ, cwd=ROOT, check=True, capture_output=True, timeout=60)
    found = json.loads(done.stdout)
    taken = found["taken"]
    spent = (usage(pid).cpu_s - console, usage(lab.store_pid).cpu_s - store)
    lost = taken - (lab.store.xlen(STREAM) - before)
    figures = [f"{found['p50']:.1f}", f"{found['p99']:.1f}", *(f"{one / taken * 1e6:.0f}" for one in spent)]
    return [str(connections), kilo(round(found["rate"])), *figures, str(lost)]


def _token(given: dict[str, str]) -> str:
    command = [*CLOSER, "token", "create", "--name", "bench", "--role", "emitter", "--source", "urn:wms:leeds"]
    done = subprocess.run(command, env=given, check=True, capture_output=True, text=True, timeout=60)
    return done.stdout.strip()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/livez", trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
