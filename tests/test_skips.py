"""Where everything is to be tested, a test that is skipped is a failure."""

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


@pytest.mark.parametrize("text", [A_TEST, A_FILE], ids=["test", "file"])
@pytest.mark.parametrize("value", ["1", ""])
def test_skipped(tmp_path: Path, text: str, value: str) -> None:
    """With TESTS_ALL=1 a test or a file that is skipped fails, and tells why it would be skipped."""
    (tmp_path / "test_it.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-p", "tests.skips", "-p", "no:cacheprovider", "--rootdir", "."]
    env = os.environ | {"TESTS_ALL": value, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    failed = done.returncode not in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert failed == (value == "1"), done.stdout
    assert ("no server (TESTS_ALL=1" in done.stdout) == failed
