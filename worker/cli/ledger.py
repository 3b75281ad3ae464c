"""`closer ledger`: commands about the ledger as a whole."""

from __future__ import annotations

from datetime import UTC, datetime

import click

from tasks.errors import ConfigurationError
from worker.cli import options
from worker.cli.output import plain, print_json
from worker.cli.session import with_context
from worker.operations import policy
from worker.settings import load
from worker.store import mending
from worker.store.embedded import at_rest


@click.group()
def ledger() -> None:
    """Commands about the ledger as a whole."""


@ledger.command("move-api")
@options.signed
@options.as_json
def move_api(by: str | None, why: str, as_json: bool) -> None:
    """Make this ledger one for the API at CLOSER_API_BASE_URL.

    A ledger is for one API: its first worker notes the address, and whoever would call another one refuses.
    This is for when the API itself has got another address. Stop all workers first; each group that is not
    closed will be closed at the new address.

    \b
    Example:
      CLOSER_API_BASE_URL=https://api.sorted.com/v2 closer ledger move-api --why 'Sorted has moved'
    """
    before, now = with_context(lambda context: policy.move_api(context, why=why), by=by)
    if as_json:
        print_json({"before": before, "now": now})
    elif before == now:
        click.echo(plain(f"This ledger is for the API at {now} already; nothing was changed."))
    else:
        click.echo(plain(f"This ledger is for the API at {now} now; it was for {before or 'none'}."))


@ledger.command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@options.as_json
def repair(yes: bool, as_json: bool) -> None:
    """Cut the embedded store's file off where it is damaged, and keep what is cut off.

    An end that cannot be read is cut off by `closer up` itself. This is for damage that readable commands follow:
    they are lost, because nobody can know what is missing before them. A copy of the folder from before the damage
    may lose less. At the next start the gate is shut, until somebody has looked and resumes.

    \b
    Example:
      closer ledger repair
    """
    settings = load()
    if not settings.embedded:
        raise ConfigurationError("CLOSER_REDIS_URL is set, and this is for the embedded store: unset it")
    with at_rest(settings) as folder:
        damage = mending.check(folder)
        if damage is None:
            _tell("The store's files can be read to their end; nothing was changed.", None, 0, as_json)
            return
        click.echo(plain(f"{damage.words()}. {damage.lost:,} bytes are cut off and kept."), err=True)
        if not yes:
            click.confirm(f"Lose what these {damage.lost:,} bytes hold?", abort=True, err=True)
        kept = mending.mend(folder, damage, datetime.now(UTC))
    told = f"Cut off {damage.lost:,} bytes; they are kept in {kept}."
    shut = "" if damage.only_short else " When closer starts, its gate is shut until somebody resumes."
    _tell(told + shut, str(kept), damage.lost, as_json)


def _tell(words: str, kept: str | None, lost: int, as_json: bool) -> None:
    if as_json:
        print_json({"bytes": lost, "kept": kept})
    else:
        click.echo(plain(words))
