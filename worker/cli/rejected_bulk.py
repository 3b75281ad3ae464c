"""`closer rejected discard` and `export`: acts on many rejected events, by their ids or by what is wrong with them."""

from __future__ import annotations

import functools
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from tasks.ledger.dead_letter import DeadLetter
from worker.cli import options
from worker.cli.line_file import LineFile, line_file, need_file_for_json
from worker.cli.output import count, print_json, say
from worker.cli.progress import ProgressBar
from worker.cli.session import stop_on_interrupt, with_context
from worker.operations import dead_letters
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_filter import DeadLetterFilter
from worker.operations.dead_letters import DeadLettersDone, FrozenDeadLetters
from worker.operations.moment import Moment
from worker.operations.operator import Verb

_ASK_OVER = 20
_CHOICE: tuple[Callable[[Any], Any], ...] = (
    click.argument("ids", nargs=-1, metavar="[ID]..."),
    click.option("--problem", metavar="TEXT", help="With this problem, as `rejected list` shows it."),
    click.option("--type", "event_type", metavar="TYPE", help="Refused for this type."),
    click.option("--since", type=options.Time(), metavar="TIME", help="That came last since then: 2h, 1d, 03:00."),
    click.option("--until", type=options.Time(), metavar="TIME", help="That came last by then."),
)
Work = Callable[[OperatorContext, FrozenDeadLetters, BulkOptions], Awaitable[DeadLettersDone]]


@dataclass(frozen=True, slots=True)
class Given:
    """The options of the command. `verb`: what is done to the events. `exports`: their lines may be on stdout."""

    verb: Verb
    exports: bool
    by: str | None
    why: str
    dry_run: bool
    yes: bool
    as_json: bool


def chosen(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ids and conditions; the command gets them as `choice`."""

    @functools.wraps(command)
    def with_choice(
        *args: Any,
        ids: tuple[str, ...],
        problem: str | None,
        event_type: str | None,
        since: Moment | None,
        until: Moment | None,
        **kwargs: Any,
    ) -> Any:
        choice = DeadLetterFilter(tuple(dict.fromkeys(ids)), problem, event_type, since, until)
        return command(*args, choice=choice, **kwargs)

    for option in reversed(_CHOICE):
        with_choice = option(with_choice)
    return with_choice


@click.command()
@chosen
@options.signed
@options.dry_run
@options.yes
@options.as_json
def discard(choice: DeadLetterFilter, **given: Any) -> None:
    """Forget rejected events. Their bytes are gone then. Needs --why.

    \b
    Examples:
      closer rejected discard 1767225600000-0 --why 'a test message'
      closer rejected discard --type order.created --until 30d --dry-run
    """
    _act(dead_letters.discard, choice, Given(Verb.DISCARD_REJECTED, exports=False, **given))


@click.command()
@chosen
@click.option("--file", "path", type=click.Path(path_type=Path), metavar="PATH", help="A new file.  [default: stdout]")
@click.option("--discard", "and_discard", is_flag=True, help="Forget those that are written. Needs --why.")
@options.signed
@options.dry_run
@options.yes
@options.as_json
def export(choice: DeadLetterFilter, path: Path | None, and_discard: bool, **given: Any) -> None:
    """Write rejected events, one JSON object a line, with their exact bytes (`base64`).

    Without ids and conditions it writes all. With --discard each is forgotten after its line is on the disk.

    \b
    Examples:
      closer rejected export --file rejected.jsonl
      closer rejected export --until 30d --file old.jsonl --discard --why 'archived'
    """
    told = Given(Verb.DISCARD_REJECTED if and_discard else Verb.EXPORT_REJECTED, exports=True, **given)
    need_file_for_json(path, as_json=told.as_json and not told.dry_run)
    act = dead_letters.export_and_discard if and_discard else dead_letters.export

    async def work(context: OperatorContext, frozen: FrozenDeadLetters, how: BulkOptions) -> DeadLettersDone:
        with line_file(path) as file:
            return await act(context, frozen, how, functools.partial(_write, file))

    _act(work, choice, told)


def _write(file: LineFile, letters: Sequence[DeadLetter]) -> None:
    file.write(one.exported() for one in letters)


def _act(work: Work, choice: DeadLetterFilter, told: Given) -> None:
    """Do `work` on what is chosen, print the result, and end the process: 1 when it was stopped, else 0."""

    async def in_context(context: OperatorContext) -> DeadLettersDone | None:
        frozen = await dead_letters.freeze(context, told.verb, choice, told.why)
        if told.dry_run:
            _tell_dry_run(frozen, as_json=told.as_json)
            return None
        _ask(frozen, told)
        with ProgressBar(len(frozen.ids), told.verb) as bar:
            return await work(context, frozen, BulkOptions(told.why, stop=stop_on_interrupt(), progress=bar.advance))

    result = with_context(in_context, by=told.by)
    if result is not None:
        _tell(result, told)
        sys.exit(1 if result.stopped else 0)


def _ask(frozen: FrozenDeadLetters, told: Given) -> None:
    changes = told.verb is Verb.DISCARD_REJECTED
    if changes and len(frozen.ids) > _ASK_OVER and not told.yes and sys.stdin.isatty():
        click.confirm(f"Discard {len(frozen.ids):,} rejected events?", abort=True, err=True)


def _tell_dry_run(frozen: FrozenDeadLetters, *, as_json: bool) -> None:
    if as_json:
        done = DeadLettersDone(len(frozen.ids)).as_json() | {"dry_run": True, "count": frozen.events}
        print_json({name: value for name, value in done.items() if name != "stopped"})
        return
    came = f" (such events came {frozen.events:,} times)" if frozen.events != len(frozen.ids) else ""
    click.echo(f"{count(len(frozen.ids), 'rejected event')} would be chosen{came}.")
    click.echo("Nothing was changed: this was a dry run.")


def _tell(result: DeadLettersDone, told: Given) -> None:
    if told.as_json:
        print_json(result.as_json())
        return
    words = [f"Exported {result.exported:,}."] if result.exported else []
    words += [f"Discarded {count(result.discarded, 'rejected event')}."] if told.verb is Verb.DISCARD_REJECTED else []
    click.echo(" ".join(words) or "Nothing matches; nothing was exported.", err=told.exports)
    if result.stopped:
        say(f"Stopped: {result.matched - result.done:,} were not touched. The same command again does the rest.")
