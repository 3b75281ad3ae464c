"""Draws the largest screen: the status."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from tasks.closure import State
from tasks.history import iso
from tasks.ledger.gate import Gate, Standing
from tasks.ledger.measures import Measured
from worker.cli import phrase
from worker.cli.output import age, clock, count, facts, paragraph, plain, styled, table
from worker.operations.advice import gate_advice
from worker.operations.event_types import Waiting
from worker.operations.headline import Concern, Headline
from worker.operations.notice_words import words
from worker.operations.operator import Verb
from worker.operations.selection import Selection
from worker.operations.status import Status
from worker.operations.step import Step

_UNREADABLE_MOST = 5
_COLUMN = 69  # of 80 characters, without the column of names
_TYPES = 3  # so many types of waiting events are shown one by one


def status_screen(status: Status) -> Table:
    """Return the status for a terminal of 80 columns."""
    summary, grid = status.summary, facts()
    grid.add_row("Now", _headline(status.headline))
    grid.add_row("Gate", _gate(status))
    if status.gate.suspended:
        grid.add_row("Keys", _suspended(status))
    grid.add_row("Open", _open(status))
    if summary.states[State.HELD]:
        grid.add_row("Held", _held(status))
    grid.add_row("Ended", _states(summary.states, State.CLOSED, State.FAILED, State.DISCARDED))
    oldest = status.oldest_open_age_s
    waits = "nothing waits" if oldest is None else f"waits for {age(oldest)} to be closed"
    grid.add_row("Oldest", waits)
    grid.add_row("Due", _due(status.measured))
    grid.add_row(
        "Closed", f"{summary.closed_last_minute:,} in the last minute, {summary.closed_last_hour:,} in the last hour"
    )
    hour = status.measured.last_hour
    grid.add_row("Last hour", f"{hour.events:,} events, {hour.attempts:,} attempts, {hour.failures:,} failures")
    if summary.late:
        grid.add_row("Too late", _late(status))
    if summary.failed:
        grid.add_row("Failed", _failed(status))
    rejected = styled(f"{summary.rejected:,} rejected", "warning" if summary.rejected else "")
    hint = "  (closer rejected list)" if summary.rejected else ""
    grid.add_row("Events", Text.assemble(f"{summary.backlog:,} to be taken in, ", rejected, hint))
    for one in status.waiting[:_TYPES]:
        grid.add_row("Waiting", _waiting(one))
    if len(status.waiting) > _TYPES:
        grid.add_row("", f"and {count(len(status.waiting) - _TYPES, 'more type')}: closer check")
    grid.add_row("Workers", _workers(status))
    for index, notice in enumerate(status.lately):
        row = Text(f"{clock(iso(notice.at_ms))}  ").append(plain(words(notice)))
        grid.add_row("" if index else "Lately", row)
    grid.add_row("As of", clock(iso(summary.now_ms)) + " UTC")
    return grid


def _headline(headline: Headline) -> Text:
    well = headline.concern is Concern.WELL
    text = Text(paragraph(headline.text, width=_COLUMN), style="green" if well else "bold red")
    return text.append(f"\n{phrase.command(headline.step)}", style="bold") if headline.step else text


def _due(measured: Measured) -> Text:
    text = Text(f"{measured.due:,} now")
    if measured.overdue_s >= 1:
        text.append(f", the first for {age(measured.overdue_s)}")
    if measured.near_deadline:
        text.append_text(styled(f"; {measured.near_deadline:,} of the oldest near the deadline", "wrong"))
    return text


def _gate(status: Status) -> Text:
    """Return the gravest reason for the shut gate and what to do about it, then the other reasons."""
    if not status.gate.standing:
        return Text("open", style="green")
    gravest, *others = status.gate.standing
    advice = gate_advice(gravest)
    text = _standing(gravest, status.gate)
    text.append(f"\n{advice.remedy}\n", style="yellow").append(phrase.command(advice.first), style="bold")
    if advice.last_resort:
        text.append(f"\nlast resort: {phrase.command(advice.last_resort)}", style="yellow")
    for standing in others:
        text.append("\n").append_text(_standing(standing, status.gate))
    return text


def _standing(one: Standing, gate: Gate) -> Text:
    text = styled(f"SHUT: {one.reason}", "wrong")
    text.append(f" for {age((gate.now_ms - one.since_ms) / 1000)}, since {clock(iso(one.since_ms))} UTC")
    text.append(plain(f", by {one.by}")).append("\n").append(plain(one.why or "no reason was given"))
    return text.append(f"\n{phrase.ends(one, gate)}")


def _suspended(status: Status) -> Text:
    """Return the keys that the API refuses, since when, and the workers that have them."""
    text, used = Text(), False
    for key in status.gate.suspended:
        workers = status.workers_with(key)
        used = used or bool(workers)
        had_by = f"its workers: {', '.join(workers)}" if workers else "no worker that is alive has it any more"
        text.append("\n" if text else "").append_text(styled(f"{key.key} is suspended", "wrong"))
        text.append(f" since {clock(iso(key.since_ms))} UTC\n").append(plain(key.cause))
        text.append("\n").append(plain(had_by))
    remedy = "Set CLOSER_API_KEY of these workers to a key that the API accepts, and restart them."
    return text.append(f"\n{remedy}", style="yellow") if used else text


def _states(numbers: dict[State, int], *states: State) -> Text:
    parts = [styled(f"{numbers[state]:,} {state}", state if numbers[state] else "dim") for state in states]
    return Text("  ").join(parts)


def _open(status: Status) -> Text:
    text = _states(status.summary.states, State.QUEUED, State.CLOSING, State.RETRYING)
    waiting = status.summary.waiting
    return text.append(f"  ({waiting:,} of the queued wait for their time)") if waiting else text


def _held(status: Status) -> Text:
    """Return how many are held, and how many of them somebody may have forgotten."""
    text = styled(f"{status.summary.states[State.HELD]:,} held", State.HELD).append("  (closer list --state held)")
    if cancelled := status.summary.cancelled:
        text.append(f"\n{cancelled:,} of them by cancel events")
    if long := status.summary.held_long:
        text.append("\n").append_text(styled(f"{long:,} of them for more than a day: are they forgotten?", "warning"))
        text.append("  (closer list --state held --until 1d)")
    return text


def _late(status: Status) -> Text:
    """Return how many groups were closed before a cancel event came for them, and the last of them."""
    number = count(status.summary.late, "group was closed", "groups were closed")
    text = styled(f"{number} before a cancel event came, within a day", "warning")
    for reference in status.summary.late_groups:
        text.append("\n").append(plain(phrase.command(Step(Verb.SHOW, Selection((reference,))))), "bold")
    return text


def _failed(status: Status) -> Table:
    rows = table("reason", ">count", "see", header=False)
    for reason, number in sorted(status.summary.failed.items(), key=lambda item: -item[1]):
        rows.add_row(styled(reason, "failed"), f"{number:,}", f"closer list --reason {reason}")
    return rows


def _waiting(waits: Waiting) -> Text:
    text = styled(f"{count(waits.events, 'event')} of type {waits.type}: put aside, not closed", "warning")
    if waits.cancels:
        text.append("\nthe type cancels by now; to have their groups held: ")
    elif waits.setting is None:
        text.append("\nthe type is accepted by now: ")
    else:
        text.append("\nif it means complete: ").append(plain(waits.setting), "bold")
        text.append("\n(name there every type that means complete)\nthen: ")
    return text.append(plain(phrase.command(waits.step)), "bold")


def _workers(status: Status) -> RenderableType:
    if not status.workers:
        none = styled("none alive: start one with `closer worker` or `closer up`", "wrong")
        return Group(none, *_unreadable(status))
    rows = table("name", "life", "work", header=False)
    for worker in status.workers:
        life = f"seen {age(worker.age_s)} ago" if worker.alive else f"SILENT for {age(worker.age_s)}"
        sign = worker.sign
        work = f"{sign.in_flight:,} in flight, {sign.settled:,} settled"
        rows.add_row(styled(sign.name), styled(life, "ok" if worker.alive else "wrong"), work)
        if sign.trouble:
            rows.add_row("", styled("waits:", "warning"), styled(sign.trouble, "warning"))
        if names := status.differs(worker):
            text = f"{', '.join(names)} differ from the fleet's (the worker that started last)"
            rows.add_row("", styled("set:", "warning"), styled(text, "warning"))
        if leases := sign.lost_leases:
            text = f"{count(leases, 'result', 'results')} came after the lease had ended; attempted again"
            rows.add_row("", styled("leases:", "warning"), styled(text, "warning"))
        if lost := sign.log_lines_lost:
            rows.add_row("", styled("log:", "warning"), styled(f"{lost:,} lines were lost; is it read?", "warning"))
    return Group(rows, *_unreadable(status))


def _unreadable(status: Status) -> Iterator[RenderableType]:
    """Yield the fields of the workers' hash that no worker wrote. They do no harm, but somebody wrote them."""
    names, key = status.unreadable_workers, status.workers_key
    for name in names[:_UNREADABLE_MOST]:
        yield styled(f"{name}: not written by a worker; HDEL {key} {shlex.quote(name)}", "warning")
    if hidden := names[_UNREADABLE_MOST:]:
        yield styled(f"… and {count(len(hidden), 'such field', 'such fields')} more in {key}", "warning")
