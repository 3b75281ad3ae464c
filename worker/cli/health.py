"""`closer health`: tells supervisors and health checks, by one line and an exit code, how the workers are."""

from __future__ import annotations

import asyncio
import sys
import time

import click

from tasks.errors import LedgerBroken, StoreUnavailable
from worker.cli import options
from worker.cli.health_words import in_words
from worker.cli.output import print_json
from worker.cli.streams import output_is_optional
from worker.construct import ledger_of
from worker.data_dir import data_dir
from worker.observe.redaction import redact
from worker.process.liveness import Alive, liveness, unready
from worker.process.signs import Signs, now_s
from worker.settings import Settings, load
from worker.store.connect import connect

_LOOK_AGAIN_S = 0.2
_TIMEOUT_S = 8.0
_BROKER_S = 4


@click.command()
@click.option("--live", "want", flag_value="live", default="live", help="The worker turns and takes work (default).")
@click.option("--ready", "want", flag_value="ready", help="It lives, its store answers, and the gate is open.")
@click.option("--wait", "wait_s", type=click.FloatRange(0, 3600), default=0, metavar="SECONDS", help="Until it is so.")
@options.as_json
def health(want: str, wait_s: float, as_json: bool) -> None:
    """Say whether the workers on this machine live, or are ready.

    Exit code 0 yes, 1 no. Live means progress: a worker that is connected and takes nothing does not live.
    A store or an API that is away does not make a worker dead, only not ready: a restart would not help.

    \b
    Examples:
      closer health --ready
      closer health --ready --wait 30      # returns when it is ready; exit code 1 if not within 30 s
    """
    output_is_optional()
    settings = load() if want == "ready" else None
    ends = time.monotonic() + wait_s
    good, line = _look(settings)
    while not good and time.monotonic() < ends:
        time.sleep(_LOOK_AGAIN_S)
        good, line = _look(settings)
    if as_json:
        print_json({"asked": want, "ok": good, "message": redact(line)})
    else:
        click.echo(redact(line))
    sys.exit(0 if good else 1)


def _look(settings: Settings | None) -> tuple[bool, str]:
    """Look whether a worker is ready. Without settings: whether it lives, as `worker.cli.live` does."""
    folder = data_dir()
    signs = Signs(folder).read()
    found = liveness(signs, now_s())
    line = in_words(found, folder)
    if settings is None or not isinstance(found, Alive):
        return isinstance(found, Alive), line
    if waits := unready(signs):
        return False, in_words(waits, folder)
    return asyncio.run(_ready(settings, line))


async def _ready(settings: Settings, live: str) -> tuple[bool, str]:
    redis = connect(settings)
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            gate = await ledger_of(settings, redis).gate.look()
            if settings.broker_url is not None:  # else the store is the broker, too, and Celery is slow to import
                await asyncio.to_thread(_ask_broker)
    except (StoreUnavailable, LedgerBroken) as error:
        return False, f"{live}; {error}"
    except (TimeoutError, OSError) as error:
        return False, f"{live}; the broker does not answer ({error!r})"
    finally:
        await redis.aclose()
    if gate.gravest:
        return False, f"{live}; the gate is shut ({gate.gravest.reason}): {gate.gravest.why}"
    return True, f"{live}, store and broker answer, the gate is open"


def _ask_broker() -> None:
    """Connect to the broker once. Raises OSError."""
    from kombu.exceptions import OperationalError

    from worker.app import app

    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=_BROKER_S)
    except OperationalError as error:
        raise OSError(str(error)) from error
