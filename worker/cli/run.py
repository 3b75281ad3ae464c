"""Runs a Celery worker in this process, as `celery -A worker.app worker` does."""

from __future__ import annotations

import os
import sys

from celery.platforms import EX_FAILURE

from worker.broker import celery_variables
from worker.process import identity
from worker.settings import load


def run() -> None:
    """Run a worker until it is stopped, then end the process with the worker's exit code.

    Raises ConfigurationError when a setting is wrong or the key is missing.
    """
    settings = load()
    settings.need_api_key()
    celery_variables.forget()  # before Celery's modules read them
    from celery.bin.celery import celery

    from worker.app import worker

    level = settings.log_level.upper()
    node = f"closer-{os.getpid()}-{identity.token()}@%h"  # two containers may have the same host and pid
    options = ["--without-gossip", "--without-mingle", f"--loglevel={level}", f"--hostname={node}"]
    # `app.worker_main` loses the exit code, by which a supervisor sees that a worker has failed.
    code = celery.main(["--app", "worker.app", "--quiet", "worker", *options], standalone_mode=False)
    # Celery counts Ctrl-C as a failure, also a second one. Here it is the usual way to stop `closer up`.
    sys.exit(0 if code in (EX_FAILURE, os.EX_SOFTWARE) and worker.interrupted else code)
