"""`closer demo` as a process: what it prints, and that it leaves nothing behind however it ends."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest

from tests.support import CLOSER, environment, run, until

LIMIT_S = 60.0


def parts(demo: psutil.Process, command: str) -> list[psutil.Process]:
    """The demo's processes whose command line holds this."""
    return [child for child in demo.children(recursive=True) if command in _command(child)]


def _command(process: psutil.Process) -> str:
    """Its command line; nothing when it has just ended."""
    with suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@contextmanager
def running(folder: Path) -> Iterator[tuple[subprocess.Popen[str], psutil.Process, psutil.Process]]:
    """A demo whose worker has started to work, and its worker's and its store's process."""
    with subprocess.Popen(
        [*CLOSER, "demo", "--groups", "3000"],
        env=environment() | {"TMPDIR": str(folder)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as demo:  # fmt: skip
        family = psutil.Process(demo.pid)
        try:
            worker = until(lambda: parts(family, "-m worker worker"), "a worker", LIMIT_S)[0]
            store = parts(family, "valkey-server")[0]
            log = until(lambda: list(folder.glob("*/worker.log")), "a log", LIMIT_S)[0]
            until(lambda: "closure.attempted" in log.read_text(), "an attempt", LIMIT_S)
            yield demo, worker, store
        finally:
            for child in family.children(recursive=True) if family.is_running() else []:
                child.kill()
            demo.kill()


def test_json_is_one_document_and_nothing_else(tmp_path: Path) -> None:
    """The numbers add up, exit code 0 says that both sides agree, settings of the real closer play no part."""
    done = run("demo", "--groups", "60", "--seed", "4", "--json", api_base_url="nonsense", lease="none")
    assert done.returncode == 0, done.stderr
    numbers = json.loads(done.stdout)
    assert list(numbers) == ["published", "closed", "already_closed", "failed", "lost", "calls", "seconds"]
    assert (numbers["published"], numbers["lost"]) == (60, 0)
    assert numbers["closed"] + numbers["already_closed"] + sum(numbers["failed"].values()) == 60
    assert numbers["failed"].keys() == {"forbidden", "gone", "not_found", "not_locked"}
    assert done.stderr == ""


@pytest.mark.long
@pytest.mark.parametrize(("groups", "seed"), [(20, 0), (20, 12), (300, 11)])
def test_unreadable_replies_about_groups_that_were_closed_before(groups: int, seed: int) -> None:
    """Seeds in which a group that was closed before gets a reply that nobody can read: the demo ends well."""
    done = run("demo", "--groups", str(groups), "--seed", str(seed), "--json")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_pipe_gets_plain_lines_and_the_summary(tmp_path: Path) -> None:
    """Without a terminal there is no escape code, every part of the summary is there, and no file is left."""
    (tmp_path / "T").mkdir()
    done = subprocess.run(
        [*CLOSER, "demo", "--groups", "30"],
        env=environment() | {"TMPDIR": str(tmp_path / "T")}, capture_output=True, text=True, timeout=LIMIT_S,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    for part in ("duplicates", "rejected", "Already closed", "not_locked", "Calls", "The slowest", "closer show sg_"):
        assert part in done.stdout
    assert "Nothing is lost" in done.stdout
    assert list((tmp_path / "T").iterdir()) == []


@pytest.mark.long
def test_a_dead_worker_is_noticed_at_once(tmp_path: Path) -> None:
    """When the worker dies the demo ends with exit code 1 and names its log, which is kept; the store stops."""
    with running(tmp_path) as (demo, worker, store):
        worker.kill()
        _, errors = demo.communicate(timeout=LIMIT_S)
        assert demo.returncode == 1
        assert "the demo's worker ended with exit code -9; its last words: " in errors
        [log] = tmp_path.iterdir()
        assert str(log) in errors
        assert "closure.attempted" in log.read_text()
        assert not store.is_running()


@pytest.mark.long(but=["15"])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_cleans_up(tmp_path: Path, how: signal.Signals) -> None:
    """Ctrl-C and SIGTERM end the worker and the store, and remove every file."""
    with running(tmp_path) as (demo, worker, store):
        demo.send_signal(how)
        _, errors = demo.communicate(timeout=LIMIT_S)
        assert demo.returncode == 1
        assert "Traceback" not in errors
        assert not worker.is_running()
        assert not store.is_running()
    assert list(tmp_path.iterdir()) == []
