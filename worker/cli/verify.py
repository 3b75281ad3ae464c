"""`closer verify`: asks the API for the state of groups, and corrects the ledger where it disagrees."""

from __future__ import annotations

import sys

import click

from worker.cli import options
from worker.cli.carried import say_begun, say_goes_on, say_waits
from worker.cli.output import count, counts, plain, print_json, say
from worker.cli.progress import ProgressBar
from worker.cli.session import leave_on_hangup, stop_on_interrupt, with_context
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.frozen import freeze
from worker.operations.operator import Verb
from worker.operations.reconcile import Findings, reconcile
from worker.operations.selection import Selection

_NAMED = 20


@click.command()
@options.selection
@options.signed
@options.rate
@options.while_shut
@options.detach
@options.dry_run
@options.as_json
def verify(
    selection: Selection,
    by: str | None,
    why: str,
    rate: float | None,
    while_shut: bool,
    detach: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Ask the API for the true state of groups, and correct the ledger where it disagrees.

    A group that the API shows closed counts as closed (already_closed), whatever it was here. One that is
    closed here and not there is told loudly, and fails with the reason `reopened`. Nothing is changed in
    Sorted. It asks within CLOSER_RATE_LIMIT, as the workers do, and at most 50 groups a second unless --rate
    says otherwise. When the API asks to hold back it ends with exit code 1; the fleet holds back, too.
    It is a stored action: `closer actions resume` has it go on, and detached it waits for the gate.

    \b
    Examples:
      closer verify --reason deadline_exceeded --since 1d
      closer verify --state closed --since 1d --detach
    """

    async def work(context: OperatorContext) -> Findings:
        frozen = await freeze(context, Verb.VERIFY, selection, why)
        with ProgressBar(len(frozen.eligible), "verify") as bar:
            how = BulkOptions(
                why, rate or 0.0, stop_on_interrupt(), bar.advance, detach=detach, leave=leave_on_hangup(),
                waits=say_waits,
                begun=lambda action_id: say_begun(action_id, "verify", len(frozen.eligible), detach=detach),
            )  # fmt: skip
            found = await reconcile(context, frozen, how, while_shut=while_shut, dry_run=dry_run)
        if found.goes_on:
            await say_goes_on(context, found.action)
        return found

    findings = with_context(work, by=by)
    if as_json:
        print_json(findings.as_json())
    else:
        _tell(findings)
    _warn(findings)
    sys.exit(1 if findings.ended else 0)


def _tell(findings: Findings) -> None:
    would = "would be " if findings.dry_run else ""
    click.echo(f"Asked the API for {count(findings.asked, 'group')} of {findings.matched:,}: {findings.agree:,} agree.")
    if findings.closed:
        click.echo(f"{findings.closed:,} {would}corrected: closed at the API, and so here now (already_closed).")
    if findings.unclear:
        click.echo(f"Could not be told, and left as they are: {counts(findings.unclear)}.")
    if findings.skipped:
        click.echo(f"Not asked for: {counts(findings.skipped)}.")
    if findings.dry_run:
        click.echo("Nothing was changed: this was a dry run.")


def _warn(findings: Findings) -> None:
    if findings.reopened:
        named = "\n".join(f"  {reference}" for reference in findings.reopened[:_NAMED])
        more = len(findings.reopened) - _NAMED
        now = "would now count" if findings.dry_run else "now count"
        click.secho(
            f"ATTENTION: {count(len(findings.reopened), 'group')} closed here, but NOT at the API; "
            f"they {now} as failed (reopened):",
            fg="red", bold=True, err=True,
        )  # fmt: skip
        say(plain(named).replace("\\n", "\n") + (f"\n  and {more} more" if more > 0 else ""))
    if findings.stopped:
        why = f": {findings.ended}" if findings.ended else ""
        say(plain(f"Stopped before all were asked for{why}. The same command again asks for all that still match."))
        if findings.action:
            say(f"To go on with the rest: closer actions resume {findings.action.id}")
