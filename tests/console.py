"""The commands of closer in this process: to start a process for each would take most of the tests' time."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from typing import Any

import pytest
from click.testing import CliRunner

from tests.support import environment
from worker.cli.main import main


def called(*arguments: str, stdin: str = "", **settings: object) -> subprocess.CompletedProcess[str]:
    """Run a command as the console script does, except that its standard streams are not of an operating system's.

    A command that needs these, or a process that ends, is run by `tests.support.run`: a worker, an export, `health`. So
    is `check`, because a process has one Celery app, which keeps the first settings.
    """
    clean: dict[str, str | None] = {name: None for name in os.environ if name.startswith("CLOSER_")}
    hooks: Any = sys.excepthook, threading.excepthook
    with CliRunner().isolation(input=stdin, env=clean | environment(**settings)) as (out, err, _):
        try:
            with pytest.raises(SystemExit) as end:
                main(arguments)
        finally:
            sys.excepthook, threading.excepthook = hooks
        sys.stdout.flush()
        sys.stderr.flush()
        said = out.getvalue().decode(), err.getvalue().decode()
    return subprocess.CompletedProcess(arguments, int(end.value.code or 0), *said)
