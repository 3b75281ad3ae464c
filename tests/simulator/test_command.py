"""`closer simulate`: the simulator as a command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import httpx
import pytest
from click.testing import CliRunner

from tests.simulator.support import CLOSE, HEADERS, LIMIT_S
from worker.cli.simulate import simulate
from worker.simulator.faults import CallFault


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("as_json", [False, True])
def test_the_command_runs_until_it_is_told_to_stop(stop: signal.Signals, as_json: bool) -> None:
    """`simulate` prints where it listens, serves, and ends on a signal with exit code 0 and one line."""
    command = [sys.executable, "-c", "from worker.cli.simulate import simulate; simulate()", "--seed", "3"]
    root = Path(__file__).parents[2]
    with subprocess.Popen(
        command + ["--already-closed", "1"] + ["--json"] * as_json, cwd=root, text=True,
        env={**os.environ, "PYTHONPATH": str(root)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            announced = [process.stdout.readline() for _ in range(1 if as_json else 4)]
            base_url = json.loads(announced[0])["base_url"] if as_json else announced[2].split("=")[1].strip()
            assert httpx.post(base_url + CLOSE, headers=HEADERS).status_code == httpx.codes.NOT_MODIFIED
            process.send_signal(stop)
            output, errors = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
    assert process.returncode == 0
    farewell = errors if as_json else output
    assert "Simulation over: 1 calls, 1 groups, 0 of them closed by a call." in farewell
    assert as_json or f"    export CLOSER_API_BASE_URL={base_url}\n" in announced
    assert not as_json or output == ""


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--gone", "0.6", "--missing", "0.6"], "sum to 1.2"),
        (["--api-key", ""], "api_key: String should have"),
    ],
)
def test_the_command_refuses_what_cannot_be(options: list[str], reason: str) -> None:
    """Rates that cannot be together and an empty key are wrong usage: exit code 2 and the reason."""
    result = CliRunner().invoke(simulate, options)
    assert result.exit_code == 2
    assert reason in result.output


def test_every_fault_has_an_option_and_the_help_an_example() -> None:
    """Each rate can be set on the command line, and the help shows how."""
    output = CliRunner().invoke(simulate, ["--help"], terminal_width=200).output
    for name in get_args(CallFault):
        assert "--" + name.replace("_", "-") in output
    assert "closer simulate --port 8090" in output
    assert "SIMULATED" in output
