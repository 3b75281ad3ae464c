"""`closer up` runs the console beside the worker, and leaves none behind."""

from __future__ import annotations

import re
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from tests.end_to_end.fleet import SETTINGS
from tests.support import API_KEY, Process, free_port, until
from tests.web.conftest import kind


@contextmanager
def up(folder: Path, port: int, **more: object) -> Iterator[Process]:
    """`closer up`, whose API is never called."""
    given = {"data_dir": folder / "data", "api_base_url": "http://127.0.0.1:1", "http_port": port, **SETTINGS, **more}
    with Process(folder, "up", **given) as process:
        yield process


def address(process: Process) -> str:
    """Where the console is, when it answers."""

    def told() -> str | None:
        assert process.process.poll() is None, process.output
        found = re.search(r"the console is at (http://\S+)", process.output)
        return found[1] if found else None

    url: str = until(told, "the console's address")
    until(lambda: httpx.get(url + "/v1/status", trust_env=False).status_code == 200, "the store")
    return url


def consoles(process: Process) -> list[psutil.Process]:
    """The console's process."""
    children = psutil.Process(process.process.pid).children(recursive=True)
    return [one for one in children if "console" in one.cmdline()]


def test_events_come_by_its_console(tmp_path: Path) -> None:
    """An event that is posted is received by the worker beside it. SIGTERM ends both, as a success."""
    with up(tmp_path, free_port()) as process:
        url = address(process)
        [console] = consoles(process)
        assert API_KEY not in console.environ().values()
        assert httpx.post(url + "/v1/events", json={"reference": "sg_1"}, trust_env=False).status_code == 202
        found = url + "/v1/closures/sg_1"
        until(lambda: httpx.get(found, trust_env=False).status_code == 200, "the closure")
        assert process.stop() == 0
        assert not console.is_running()


def test_its_port_is_taken(tmp_path: Path) -> None:
    """The next one is taken, and told."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with up(tmp_path, port) as process:
            assert int(address(process).rpartition(":")[2]) > port


def test_kill_9(tmp_path: Path) -> None:
    """The console ends with the worker, whatever ends that."""
    with up(tmp_path, free_port()) as process:
        address(process)
        [console] = consoles(process)
        process.stop(signal.SIGKILL)
        until(lambda: not console.is_running() or console.status() == psutil.STATUS_ZOMBIE, "the console's end")


@pytest.mark.parametrize("how", ["it is refused", "it is killed"])
def test_a_console_that_does_not_run(tmp_path: Path, how: str) -> None:
    """The worker goes on without it, and says how to have it back."""
    host = "0.0.0.0" if how == "it is refused" else "127.0.0.1"
    with up(tmp_path, free_port(), http_host=host) as process:
        if how == "it is killed":
            address(process)
            consoles(process)[0].kill()
        until(lambda: "To have it back: closer console" in process.output, "a word in the log")
        until(lambda: " ready" in process.output, "the worker")
        assert process.stop() == 0


def test_a_page_of_another_site_reaches_nothing(tmp_path: Path) -> None:
    """What `closer up` opens is open to this machine alone."""
    with up(tmp_path, free_port()) as process:
        url = address(process)
        answer = httpx.post(url + "/v1/gate/pause", json={}, headers={"origin": "http://evil.example"}, trust_env=False)
        assert (answer.status_code, kind(answer)) == (403, "from-outside")
