"""Draws one closure's story: where it stands, its history, and what to do."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from tasks.closure import Closure, State
from tasks.history import Attempt, OperatorAction, iso
from tasks.hold import Cancel
from tasks.ledger.audit import Announced
from tasks.ledger.measures import Place
from tasks.ledger.values import Received
from worker.cli import phrase
from worker.cli.output import age, clock, count, facts, paragraph, plain, styled
from worker.operations.headline import NOT_TAKEN_S
from worker.operations.story import Story


def story_lines(story: Story) -> Iterator[RenderableType]:
    """Yield a closure's story for a terminal: where it stands, its history, and what to do."""
    closure = story.closure
    yield Text.assemble((plain(closure.reference), "bold"), "  ", _where(closure))
    if closure.custom_reference:
        yield styled(f"known to the warehouse as {closure.custom_reference}", "dim")
    yield ""
    yield _timeline(story)
    if closure.hold:
        yield Text.assemble("\n", (plain(phrase.held("It", closure.hold)), "bold"))
    if closure.state is State.CLOSED and any(cancel.word == Received.TOO_LATE for cancel in closure.cancels):
        closed = clock(iso(closure.entered_ms))
        yield styled(
            f"\nA cancel event came too late: the group was closed at {closed} UTC. closer cannot open it.", "warning"
        )
    yield Text.assemble("\n", ("What is next  ", "bold"), paragraph(" " * 14 + story.next, " " * 14).lstrip())
    if story.place:
        yield from _in_time(story.place)
    if advice := story.advice:
        indent = " " * 12
        yield Text.assemble("\n", ("What it is  ", "bold"), paragraph(" " * 12 + advice.meaning, indent).lstrip())
        yield Text.assemble(("What to do  ", "bold"), paragraph(" " * 12 + advice.remedy, indent).lstrip())
    if first := story.first_step:
        yield Text.assemble(("Begin with  ", "bold"), phrase.command(first))


def _in_time(place: Place) -> Iterator[Text]:
    """Yield since when it has been due, if nobody has taken it for long, and what is left to its deadline."""
    if place.overdue_s > NOT_TAKEN_S:
        yield styled(f"It has been due for {age(place.overdue_s)}, and nobody has taken it: closer status", "wrong")
    if place.left_s is not None:
        left = f"in {age(place.left_s)}" if place.left_s > 0 else "over"
        yield Text.assemble(("Its deadline  ", "bold"), f"{left}; the time stands still while the gate is shut")


def _where(closure: Closure) -> Text:
    what = closure.reason or closure.outcome or closure.state
    words = f"{closure.state}: {what}" if what != closure.state else str(closure.state)
    return styled(f"{words.replace('_', ' ') if closure.outcome else words}", closure.state)


def _timeline(story: Story) -> Table:
    closure, grid = story.closure, facts()
    rows: list[tuple[int, Text]] = [(closure.received_ms, _received(closure))]
    first = closure.attempts - len(closure.history) + 1
    rows += [(attempt.at_ms, _attempt(first + index, attempt)) for index, attempt in enumerate(closure.history)]
    rows += [(cancel.at_ms, styled(_cancelled(cancel), "magenta")) for cancel in closure.cancels]
    for action, announced in story.actions:
        rows.append((action.at_ms, _action(action, announced)))
    for at_ms, text in sorted(rows, key=lambda row: row[0]):
        grid.add_row(Text(clock(iso(at_ms)), style="not bold dim"), text)
    return grid


def _action(action: OperatorAction, announced: Announced | None) -> Text:
    by, why = (announced.name, announced.why) if announced else ("somebody", "")
    text = styled(f"{action.action} by {by}" + (f": {why}" if why else ""), "magenta")
    if announced and announced.action_id:
        text.append("\n").append_text(styled(f"see: closer actions show {announced.action_id}", "dim"))
    return text


def _cancelled(cancel: Cancel) -> str:
    event = f"a cancel event of {cancel.source}, id {cancel.event_id}"
    if cancel.word == Received.TOO_LATE:
        return f"{event}, came TOO LATE: the group was closed"
    if cancel.word == Received.OUTDATED:
        return f"{event}, changed nothing: a later one of its source says complete"
    return f"{event}" + (", changed nothing: it is discarded" if cancel.word == Received.DISCARDED else "")


def _received(closure: Closure) -> Text:
    if not closure.event_id:
        named = "no event has said that it is complete" if closure.cancels else "no event has come for it"
        return styled(f"{named}; somebody named it first")
    text = styled(f"event received from {closure.source}, id {closure.event_id}")
    hidden = closure.attempts - len(closure.history)
    return (
        text.append(f"\n({count(hidden, 'older attempt is', 'older attempts are')} no longer kept)") if hidden else text
    )


def _attempt(number: int, attempt: Attempt) -> Text:
    reply = f"HTTP {attempt.status}" if attempt.status else attempt.code or "no call was answered"
    code = f" {attempt.code}" if attempt.status and attempt.code else ""
    took = f", {attempt.duration_ms:,} ms" if attempt.duration_ms is not None else ""
    text = styled(f"attempt {number} ({attempt.trigger or 'automatic'}) by {attempt.worker}: {reply}{code}{took}")
    if attempt.sent_ms is not None:
        text.append(f"\ndispatched {attempt.sent_ms:,} ms before", "dim")
    text.append("\n").append_text(styled(f"{attempt.verdict} → {attempt.decision}", "bold"))
    if attempt.detail:
        text.append(plain(f" · {attempt.detail}"))
    if attempt.correlation_id:
        text.append("\n").append_text(styled(f"correlation id {attempt.correlation_id}", "dim"))
    return text
