"""What takes long is left out with a word. Where everything is to be tested, a test that is skipped is a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
A_TEST = """
import pytest
def test_it():
    pytest.skip("no server")
"""
A_FILE = """
import pytest
pytest.skip("no server", allow_module_level=True)
"""


def pytest_on(folder: Path, text: str, value: str) -> subprocess.CompletedProcess[str]:
    """Run this file of tests with that value of TESTS_ALL."""
    (folder / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", "--rootdir", "."]
    env = os.environ | {"TESTS_ALL": value, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=env, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("text", [A_TEST, A_FILE], ids=["test", "file"])
@pytest.mark.parametrize("value", ["1", ""])
def test_skipped(tmp_path: Path, text: str, value: str) -> None:
    """With TESTS_ALL=1 a test or a file that is skipped fails, and tells why it would be skipped."""
    done = pytest_on(tmp_path, text, value)
    failed = done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert failed == (value == "1"), done.stdout
    assert ("no server (TESTS_ALL=1" in done.stdout) == failed


LONG = """
import pytest
@pytest.mark.long
def test_long(): pass
@pytest.mark.long(but=["short"])
@pytest.mark.parametrize("case", ["short", "other"])
def test_cases(case): pass
"""


@pytest.mark.parametrize(("value", "runs"), [("1", 3), ("", 1)])
def test_what_takes_long(tmp_path: Path, value: str, runs: int) -> None:
    """It is run with TESTS_ALL=1 only, but for the cases that are named; a line tells how many were left out."""
    done = pytest_on(tmp_path, LONG, value)
    assert done.returncode == 0, done.stdout
    assert f"{runs} passed" in done.stdout
    assert ("2 long tests were skipped; `TESTS_ALL=1 make test` runs them, too." in done.stdout) == (value != "1")
