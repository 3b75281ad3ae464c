"""Draws bulk actions for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from tasks.history import iso
from tasks.ledger.bulk_action import BulkAction, BulkState
from worker.cli.output import clock, counts, facts, plain, styled, table

_STYLES = {
    BulkState.RUNNING: "queued", BulkState.WAITING: "warning", BulkState.STOPPED: "wrong", BulkState.DONE: "ok",
    BulkState.RECALLED: "dim",
}  # fmt: skip


def action_rows(actions: Sequence[BulkAction]) -> Table:
    """Return a table with one action a row."""
    rows = table("id", "begun", "state", "action", ">changed", ">of", "by", "why")
    for action in actions:
        rows.add_row(
            styled(action.id), clock(iso(action.created_ms)), styled(action.state, _STYLES[action.state]),
            styled(action.verb), f"{action.changed:,}", f"{action.matched:,}", styled(action.by), styled(action.why),
        )  # fmt: skip
    return rows


def action_page(action: BulkAction, not_done: dict[str, str]) -> Table:
    """Return all there is to say about one action, and what to do next."""
    grid = facts()
    grid.add_row("Action", styled(f"{action.id}: {action.verb} by {action.by}, {clock(iso(action.created_ms))} UTC"))
    if action.why:
        grid.add_row("Why", styled(action.why))
    if action.of:
        grid.add_row("Recalls", styled(action.of))
    grid.add_row("State", _state(action))
    if options := action.options.as_json():
        grid.add_row("Options", plain(", ".join(f"{name} {value:g}" for name, value in options.items())))
    left = f"; {action.left:,} not looked at yet" if action.left else ""
    grid.add_row("Changed", f"{action.changed:,} of {action.matched:,}{left}")
    if action.untouched:
        grid.add_row("Not done", plain(counts(action.untouched)))
    for reference, why in not_done.items():
        grid.add_row("", styled(f"{reference}: {why}", "dim"))
    if became := {name: number for name, number in action.became.items() if number}:
        grid.add_row("By now", plain(counts(became)))
    if action.recalled:
        grid.add_row("Recalled", f"{action.recalled:,}")
    for row in _next(action):
        grid.add_row("Next", row)
    return grid


def _state(action: BulkAction) -> Text:
    text = styled(action.state, _STYLES[action.state])
    if action.waits_for:
        text.append(f": the {'canary is out' if action.waits_for == 'canary' else 'gate is shut'}")
    if action.marked:
        text.append(f"; {action.marked:,} are being attempted, and return if they are not called")
    return text.append(plain(f": {action.stopped_because}")) if action.stopped_because else text


def _next(action: BulkAction) -> list[str]:
    steps = [f"closer actions stop {action.id}"] if action.is_open else []
    steps += [f"closer actions resume {action.id}"] if action.state is BulkState.STOPPED else []
    recallable = action.verb in ("requeue", "discard") and action.changed > action.recalled
    return steps + (
        [f"closer actions recall {action.id}"] if recallable and action.state is not BulkState.RECALLED else []
    )
