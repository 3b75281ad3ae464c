"""`closer rejected replay`: reads rejected events again, corrected or under other rules, and receives them."""

from __future__ import annotations

import shlex
import sys
from dataclasses import dataclass
from typing import Any

import click

from tasks.ledger.dead_letter import DeadLetter
from worker.cli import options
from worker.cli.carried import say_begun, say_goes_on, say_stopped
from worker.cli.output import count, counts, plain, print_json, say
from worker.cli.progress import ProgressBar
from worker.cli.session import leave_on_hangup, stop_on_interrupt, with_context
from worker.operations import replay as replaying
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_selection import DeadLetterSelection, position
from worker.operations.event_types import setting_for
from worker.operations.replay import Plan, Replayed, plan
from worker.operations.replay_selection import Kind, SeveralKinds
from worker.operations.replay_step import CHUNK

_ASK_OVER = 20


@dataclass(frozen=True, slots=True)
class Given:
    """The options that do not choose events."""

    detach: bool
    dry_run: bool
    yes: bool
    by: str | None
    why: str
    as_json: bool


@click.command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--set", "fields", multiple=True, metavar="FIELD=VALUE", help="Put this in first; a path like data.x.")
@click.option("--edit", is_flag=True, help="Correct each in $EDITOR first.")
@click.option("--accept-type", metavar="TYPE", help="All that were refused for this type: it means complete after all.")
@click.option("--use-subject", is_flag=True, help="Where the data name no group, the subject does. Shown first.")
@click.option("--problem", metavar="TEXT", help="With this problem, as `rejected list` shows it.")
@click.option("--source", metavar="SOURCE", help="From this source.")
@click.option("--type", "event_type", metavar="TYPE", help="Of this type, or refused for it.")
@click.option("--up-to", metavar="ID", help="None that was rejected after this one.")
@options.signed
@options.detach
@options.dry_run
@options.yes
@options.as_json
def replay(
    ids: tuple[str, ...],
    fields: tuple[str, ...],
    edit: bool,
    accept_type: str | None,
    use_subject: bool,
    up_to: str | None,
    **given: Any,
) -> None:
    """Read events again, after a correction, and receive them: then their groups are closed.

    All are read before the first is received. Where fewer groups would be closed than the events name,
    nothing is replayed. It is a stored action, except with --edit: without this terminal the workers carry it on.

    \b
    Examples:
      closer rejected replay 1767225600000-0 --set reference=sg_123 --why 'typo in the WMS'
      closer rejected replay 1767225600000-0 --edit
      closer rejected replay --accept-type trailer.dispatched --dry-run
      closer rejected replay --use-subject
      closer rejected replay --problem 'closeafter: more than 31 days away' --source wms --dry-run
    """
    kind = {name: given.pop(name) for name in ("problem", "source", "event_type")}
    told, pairs = Given(**given), tuple(map(_pair, fields))
    selection = DeadLetterSelection(
        tuple(dict.fromkeys(ids)),
        accept_type,
        use_subject,
        up_to=up_to,
        fields=pairs,
        edited=edit,
        shown=told.yes,
        **kind,
    )

    async def work(context: OperatorContext) -> Replayed | None:
        planned, chosen = await plan(context, selection, _edit if edit else None)
        if not _confirmed(selection, told, planned, chosen):
            return None
        replayed = await _replay(context, planned, told)
        if accept_type:
            await _tell_setting(context, accept_type)
        return replayed

    try:
        result = with_context(work, by=told.by)
    except SeveralKinds as several:
        _tell_kinds(several.kinds, told)
        return
    if result is not None:
        _tell(result, told)
        sys.exit(0 if result.goes_on or result.replayed == result.matched else 1)


async def _replay(context: OperatorContext, planned: Plan, told: Given) -> Replayed:
    size, detach = len(planned.ready), told.detach
    long = detach or size > CHUNK  # what is done in one step is not announced

    def begun(action_id: str) -> None:
        say_begun(action_id, "replay", size if long else 0, detach=detach, what="event")

    with ProgressBar(size, "replay") as bar:
        how = BulkOptions(
            told.why, stop=stop_on_interrupt(), progress=bar.advance, detach=detach, leave=leave_on_hangup(),
            begun=begun,
        )  # fmt: skip
        replayed = await replaying.replay(context, planned, how)
    if replayed.goes_on:
        await say_goes_on(context, replayed.action)
    return replayed


def _pair(field: str) -> tuple[str, str]:
    path, equals, value = field.partition("=")
    if not (path and equals):
        raise click.BadParameter("write FIELD=VALUE, as in reference=sg_123", param_hint="--set")
    return path, value


def _edit(body: bytes) -> bytes:
    edited = click.edit(body.decode("utf-8", "backslashreplace").encode(), extension=".json")
    return body if edited is None else edited.strip()


def _confirmed(selection: DeadLetterSelection, told: Given, planned: Plan, chosen: list[DeadLetter]) -> bool:
    """Return whether to go on. If not, what would be done has been printed."""
    if told.dry_run or (selection.use_subject and not told.yes):
        _tell_plan(planned, _again(selection, chosen), told)
        return False
    if len(planned.ready) > _ASK_OVER and not told.yes and sys.stdin.isatty():
        click.confirm(f"Replay {len(planned.ready):,} events, so that {_aims(planned)}?", abort=True, err=True)
    return True


def _aims(planned: Plan) -> str:
    """Return what would become of how many groups."""
    named = {"closed": planned.groups(), "held": planned.cancelled()}
    return " and ".join(f"{count(len(groups), 'group')} are {what}" for what, groups in named.items() if groups)


def _again(selection: DeadLetterSelection, chosen: list[DeadLetter]) -> str:
    """Return the shell command that replays exactly these events."""
    words = ["closer", "rejected", "replay", *selection.ids]
    words += [word for path, value in selection.fields for word in ("--set", f"{path}={value}")]
    words += ["--edit"] if selection.edited else []
    words += ["--accept-type", selection.accept_type] if selection.accept_type else []
    words += ["--use-subject"] if selection.use_subject else []
    words += ["--problem", selection.problem] if selection.problem else []
    words += ["--source", selection.source] if selection.source else []
    words += ["--type", selection.event_type] if selection.event_type else []
    words += [] if selection.ids else ["--up-to", max((one.rejected_id for one in chosen), key=position)]
    return shlex.join([*words, "--yes", "--why", "TEXT"])


def _tell_kinds(kinds: dict[Kind, list[DeadLetter]], told: Given) -> None:
    if told.as_json:
        print_json({"dry_run": True, "kinds": [kind.as_json(found) for kind, found in kinds.items()]})
        return
    click.echo("The subject could name the group of these rejected events. Look at one kind of them at a time:")
    for kind, found in kinds.items():
        words = ["closer", "rejected", "replay", "--use-subject", "--source", kind.source, "--type", kind.type]
        click.echo(f"  {count(len(found), 'event')}: {plain(shlex.join(words))}")


def _tell_plan(planned: Plan, again: str, told: Given) -> None:
    if told.as_json:
        print_json(planned.as_json())
        return
    groups, cancelled = planned.groups(), planned.cancelled()
    if not (groups or cancelled):
        click.echo("Nothing would be replayed, and nothing was: no group would be closed.")
        _tell_wrong(planned.still_wrong)
        return
    events = count(len(planned.ready), "event")
    for named, what in ((groups, "closed"), (cancelled, "held, because they are cancelled")):
        if named:
            click.echo(f"{events} would have {count(len(named), 'group')} {what}:")
        for reference, number in named.items():
            click.echo(f"  {reference}" + (f"  ({number:,} events)" if number > 1 else ""))
    _tell_wrong(planned.still_wrong)
    done = "closed" if groups else "held"
    click.echo(f"Nothing was replayed: this was a dry run. To have exactly these {done}:\n  {plain(again)}")


def _tell(result: Replayed, told: Given) -> None:
    if told.as_json:
        print_json(result.as_json())
    else:
        words = f": {counts(dict(result.received))}" if result.received else ""
        click.echo(f"Replayed {result.replayed:,} of {count(result.matched, 'event')}{words}.")
    _tell_wrong(result.still_wrong)
    if result.gone:
        say(f"{count(result.gone, 'event')} were gone before: somebody else has replayed or discarded them.")
    if result.stopped and result.action:
        say_stopped(result.action)
    elif result.stopped:
        left = result.matched - result.replayed - len(result.still_wrong)
        say(f"Stopped: {left:,} were not touched. The same command again does the rest.")


async def _tell_setting(context: OperatorContext, event_type: str) -> None:
    if setting := await setting_for(context, event_type):
        new = f"New events of type {event_type} are put aside as before; to accept them, set {setting} for the workers."
        say(plain(new))


def _tell_wrong(still_wrong: dict[str, tuple[str, ...]]) -> None:
    for rejected_id, problems in still_wrong.items():
        say(plain(f"{rejected_id} is still wrong: {'; '.join(problems)}"))
