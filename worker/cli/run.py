"""Runs a Celery worker in this process, as `celery -A worker.app worker` does."""

from __future__ import annotations

import os
import sys

from celery.platforms import EX_FAILURE

from worker.broker import celery_variables
from worker.settings import load


def run() -> None:
    """Run a worker, then end the process with the worker's exit code. Raises ConfigurationError."""
    settings = load()
    settings.need_api_key()
    celery_variables.forget()  # before Celery's modules read them
    from celery.bin.celery import celery

    from worker.app import worker

    level = settings.log_level.upper()
    node = f"closer-{os.getpid()}@%h"
    options = ["--without-gossip", "--without-mingle", f"--loglevel={level}", f"--hostname={node}"]
    # Not `app.worker_main`, which forgets the exit code: a supervisor must see that a worker has failed.
    code = celery.main(["--app", "worker.app", "--quiet", "worker", *options], standalone_mode=False)
    # Celery takes Ctrl-C for a failure of its own, and the second one as well; here it is how `closer up` is stopped.
    sys.exit(0 if code in (EX_FAILURE, os.EX_SOFTWARE) and worker.interrupted else code)
