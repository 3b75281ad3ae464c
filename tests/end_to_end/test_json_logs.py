"""With CLOSER_LOG_FORMAT=json every line is a JSON object, from the process's first to its last, whoever writes it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.end_to_end.fleet import SETTINGS
from tests.support import API_KEY, CLOSER, Process, count, environment, free_port, publish, until
from worker.simulator.server import Simulator, run_in_thread

ROOT = Path(__file__).parents[2]
CELERY = [sys.executable, "-m", "celery", "-A", "worker.app", "worker"]
# What ends before its log works, or crashes, and a word of what it says.
STARTS = [
    ([*CLOSER, "worker"], {"concurrency": "x"}, "CLOSER_CONCURRENCY"),
    ([*CLOSER, "worker"], {"api_key": ""}, "CLOSER_API_KEY is not set"),
    ([*CLOSER, "up"], {"lease": "1"}, "CLOSER_LEASE"),
    ([*CLOSER, "console"], {"http_port": "x"}, "CLOSER_HTTP_PORT"),
    (CELERY, {"concurrency": "x"}, "CLOSER_CONCURRENCY"),
    ([*CELERY, "--pool", "solo"], {}, "--pool"),
    ([*CELERY, "--logfile", "/missing/log"], {}, "cannot be opened"),
]
CRASH = """
import os, sys, threading, warnings
from pathlib import Path
from worker.observe import last_words, logs, stdio
last_words.guard_tracebacks()
if "configured" in sys.argv:
    logs.configure("info", "json")
    stdio.take_over()
    warnings.warn("odd\\nlines")
    print("printed")
def crash(): raise ValueError("first\\nsecond " + os.environ["CLOSER_API_KEY"])
thread = threading.Thread(target=crash)
thread.start()
thread.join()
crash()
"""


def lines(output: str) -> list[dict[str, Any]]:
    """Each line as an object with the members that each must have."""
    found = [json.loads(line) for line in output.splitlines()]
    assert all({"at", "level", "logger", "event"} <= {*line} for line in found)
    return found


@pytest.mark.parametrize(("command", "settings", "says"), STARTS)
def test_a_start_that_fails(command: list[str], settings: dict[str, str], says: str, tmp_path: Path) -> None:
    """Why it ends is a line of level critical, whoever finds out."""
    own = {"redis_url": f"redis://127.0.0.1:{free_port()}/0", "data_dir": tmp_path, "log_format": "json"}
    ended = subprocess.run(
        command, env=environment(**own | settings), cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 2
    last = lines(ended.stdout + ended.stderr)[-1]
    assert last["level"] == "critical"
    assert says in last["event"]


@pytest.mark.parametrize("stage", ["early", "configured"])
def test_a_crash(stage: str, tmp_path: Path) -> None:
    """The traceback of an error that nobody handles is part of one line, in a thread, too; and holds no secret."""
    ended = subprocess.run(
        [sys.executable, "-c", CRASH, stage], env=environment(log_format="json") | {"PYTHONPATH": str(ROOT)},
        cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.returncode == 1
    found = lines(ended.stdout + ended.stderr)
    crashes = [line for line in found if "error" in line]
    assert [line["event"] for line in crashes] == ["ValueError is not handled"] * 2
    assert all("Traceback" in line["error"] and "ValueError: first\nsecond ***" in line["error"] for line in crashes)
    assert API_KEY not in ended.stderr
    if stage == "configured":
        assert {"py.warnings", "closer.output"} <= {line["logger"] for line in found}


def test_a_whole_life(store: redis.Redis, store_url: str, tmp_path: Path) -> None:
    """A worker that starts, closes groups, is warned, and stops."""
    with run_in_thread(Simulator()) as (api, _):
        settings = SETTINGS | {"redis_url": store_url, "api_base_url": api, "data_dir": tmp_path, "misspelt": "x"}
        with Process(tmp_path, "worker", **settings, log_format="json", log_level="debug") as worker:
            publish(store, [f"sg_{number}" for number in range(5)])
            until(lambda: count(store, "closed") == 5, "all closed")
            until(lambda: worker.output.count("closure.attempted") == 5, "their lines")
            assert worker.stop() == 0, worker.output
    found = lines(worker.output)
    attempted = [line for line in found if line["event"] == "closure.attempted"]
    assert {line["reference"] for line in attempted} == {f"sg_{number}" for number in range(5)}
    assert {line["written"] for line in attempted} == {"settled"}
    assert any("CLOSER_MISSPELT" in line["event"] for line in found)
    assert any(line["logger"].startswith("celery") for line in found)


def test_a_command_speaks_to_people(tmp_path: Path) -> None:
    """What is not a log stays as it is: an operator reads it in the worker's container, where the variable is set."""
    ended = subprocess.run(
        [*CLOSER, "status"], env=environment(concurrency="x", log_format="json"), cwd=tmp_path, capture_output=True,
        text=True, timeout=60, check=False,
    )  # fmt: skip
    assert ended.stderr.startswith("closer: wrong configuration")
