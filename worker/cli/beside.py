"""Runs the console in a process of its own beside the worker. It ends with the worker, however that ends."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_log = logging.getLogger("closer.up")
_STOP_S = 15.0
_KEY = "CLOSER_API_KEY"


@contextmanager
def console() -> Iterator[None]:
    """Run `closer console` meanwhile. The worker goes on if it does not start, or dies; the log says so then.

    The console stops when its standard input ends, which this process holds open. It makes no calls to the API, so it
    is not given the key.
    """
    environ = {name: value for name, value in os.environ.items() if name.upper() != _KEY}
    command = [sys.executable, "-m", "worker", "console", "--next-free-port", "--until-input-ends"]
    process = subprocess.Popen(command, env=environ, stdin=subprocess.PIPE)
    stopping = threading.Event()
    threading.Thread(target=_watch, args=(process, stopping), name="console-watch", daemon=True).start()
    try:
        yield
    finally:
        stopping.set()
        _stop(process)


def _watch(process: subprocess.Popen[bytes], stopping: threading.Event) -> None:
    code = process.wait()
    if code and not stopping.is_set():
        _log.error(
            "the console ended with exit code %d, and the worker goes on; its last line says why. To have it back: "
            "closer console",
            code,
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
