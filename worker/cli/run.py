"""`closer worker` and `closer up`: run a worker in this process."""

from __future__ import annotations

import os
import sys

import click
from celery.platforms import EX_FAILURE

from worker.broker import celery_variables
from worker.settings import load


@click.command("worker")
def work() -> None:
    """Run a worker: take in events, close groups, retry.

    The same as `celery -A worker.app worker`. Without CLOSER_REDIS_URL it uses the embedded store
    under CLOSER_DATA_DIR, and starts it if nobody has.

    \b
    Example:
      CLOSER_API_KEY=… CLOSER_REDIS_URL=redis://store:6379/0 closer worker
    """
    _run()


@click.command()
def up() -> None:
    """Run everything on this machine: the embedded store and a worker.

    Ctrl-C or SIGTERM stops it cleanly: calls in flight end, the rest waits for the next start.

    \b
    Example:
      CLOSER_API_KEY=… closer up
    """
    os.environ.pop("CLOSER_REDIS_URL", None)
    _run()


def _run() -> None:
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
