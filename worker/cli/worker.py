"""`closer worker`: run a worker in this process."""

from __future__ import annotations

import click

from worker.cli.run import run


@click.command("worker")
def work() -> None:
    """Run a worker: take in events, close groups, retry.

    The same as `celery -A worker.app worker`. Without CLOSER_REDIS_URL it uses the embedded store
    under CLOSER_DATA_DIR, and starts it if nobody has.

    \b
    Example:
      CLOSER_API_KEY=… CLOSER_REDIS_URL=redis://store:6379/0 closer worker
    """
    run()
