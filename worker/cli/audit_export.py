"""`closer audit export`: writes the audit into a file, and shortens it by what is written there."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from tasks.history import iso
from tasks.ledger.audit import AuditEntry
from tasks.ledger.entries import written_ms
from tasks.ledger.values import Unreadable
from worker.cli import options, phrase
from worker.cli.line_file import LineFile, line_file, need_file_for_json
from worker.cli.output import count, print_json, say
from worker.cli.session import stop_on_interrupt, with_context
from worker.operations import audit_export
from worker.operations.audit_export import AuditExported, AuditPart
from worker.operations.bulk import BulkOptions
from worker.operations.context import OperatorContext
from worker.operations.moment import Moment
from worker.operations.operator import Verb


@click.command()
@click.option("--until", type=options.Time(), metavar="TIME", help="What was announced by then: 90d, 2026-01-31.")
@click.option("--file", "path", type=click.Path(path_type=Path), metavar="PATH", help="A new file.  [default: stdout]")
@click.option("--remove", is_flag=True, help="Remove what is written. Needs --until and --why.")
@options.signed
@options.dry_run
@options.as_json
def export(
    until: Moment | None, path: Path | None, remove: bool, by: str | None, why: str, dry_run: bool, as_json: bool
) -> None:
    """Write the audit, one JSON object a line, the newest first.

    With --remove the audit is shortened by what is on the disk. What was done within the last day stays.

    \b
    Example:
      closer audit export --until 90d --file audit.jsonl --remove --why archived
    """
    if remove and until is None:
        raise click.UsageError("--remove takes a time: give --until TIME, too")
    need_file_for_json(path, as_json=as_json and not dry_run)
    verb = Verb.SHORTEN_AUDIT if remove else Verb.AUDIT
    act = audit_export.shorten if remove else audit_export.export

    async def work(context: OperatorContext) -> AuditPart | AuditExported:
        part = await audit_export.choose(context, verb, until, why)
        if dry_run:
            return part
        with line_file(path) as file:
            return await act(context, part, BulkOptions(why, stop=stop_on_interrupt()), partial(_write, file))

    result = with_context(work, by=by)
    if isinstance(result, AuditPart):
        _tell_dry_run(result, as_json=as_json)
        return
    _tell(result, remove=remove, as_json=as_json)
    sys.exit(1 if result.stopped else 0)


def _write(file: LineFile, entries: Sequence[AuditEntry | Unreadable]) -> None:
    file.write(map(_line, entries))


def _line(entry: AuditEntry | Unreadable) -> dict[str, Any]:
    if isinstance(entry, AuditEntry):
        return phrase.audited(entry)
    return {"at": iso(written_ms(entry.name)), "id": entry.name, "unreadable": entry.held}


def _tell_dry_run(part: AuditPart, *, as_json: bool) -> None:
    if as_json:
        print_json({"matched": part.matched, "exported": 0, "removed": 0, "dry_run": True})
    else:
        click.echo(
            f"{count(part.matched, 'entry', 'entries')} would be written. Nothing was changed: this was a dry run."
        )


def _tell(result: AuditExported, *, remove: bool, as_json: bool) -> None:
    if as_json:
        print_json(result.as_json())
        return
    words = f"Exported {count(result.exported, 'entry', 'entries')}."
    say(f"{words} Removed {result.removed:,}." if remove else words)
    if result.stopped:
        say(f"Stopped: {result.matched - result.exported:,} were not touched. The same command again does the rest.")
