"""The limit of open files: raised as far as it must, or refused with what to do."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from tests.support import CLOSER, environment
from worker import open_files

RAISE = """
import resource, sys
from worker.open_files import raise_limit
raise_limit(int(sys.argv[1]))
print(*resource.getrlimit(resource.RLIMIT_NOFILE))
"""


def limited(command: list[str], soft: int, hard: int, **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a process that may open so many files."""
    return subprocess.run(
        command,
        env=environment(**settings),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard)),
    )


@pytest.mark.parametrize(
    ("soft", "hard", "concurrency", "expected"),
    [(200, 200, 100, 200), (100, 200, 100, 164), (150, 4000, 300, 364), (500, 4000, 100, 500), (50, 65, 1, 65)],
)
def test_the_limit_is_raised(soft: int, hard: int, concurrency: int, expected: int) -> None:
    """The soft limit rises to what is needed and no further, and never falls; the hard one stays."""
    done = limited([sys.executable, "-c", RAISE, str(concurrency)], soft, hard)
    assert done.stdout.split() == [str(expected), str(hard)], done.stderr


def test_a_limit_that_is_too_low() -> None:
    """A worker does not start with less: it says what it needs, how to allow it, and what would fit."""
    done = limited([*CLOSER, "worker"], 150, 150, redis_url="redis://127.0.0.1:1/0", concurrency=100)
    assert done.returncode != 0
    assert "CLOSER_CONCURRENCY=100 needs 164 open files, and this process may have 150" in done.stderr
    assert "ulimit -n 164" in done.stderr
    assert "CLOSER_CONCURRENCY=86" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_tells_it() -> None:
    """`closer check` finds it before a worker does."""
    done = limited([*CLOSER, "check"], 150, 150, redis_url="redis://127.0.0.1:1/0", concurrency=100)
    assert done.returncode == 1
    assert "needs 164 open files" in " ".join(done.stdout.split())


def test_what_fits_does_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The concurrency that the remedy names is one that it would accept."""
    monkeypatch.setattr(resource, "getrlimit", lambda _: (150, 150))
    assert open_files.problem(100)
    assert open_files.problem(86) is None
