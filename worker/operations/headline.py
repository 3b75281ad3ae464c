"""Says in one sentence whether all is well, or what is wrong first. The status, the console and alerts all say this."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from tasks.closure import OPEN_STATES, State
from tasks.history import iso
from tasks.ledger.measures import Measured
from tasks.ledger.old_prefix import OldLook
from tasks.ledger.summary import Summary
from worker.operations.advice import gate_advice
from worker.operations.operator import Verb
from worker.operations.selection import Filter, Selection
from worker.operations.step import Step

NOT_TAKEN_S = 120.0  # what is due is taken within seconds, unless nothing works


class Concern(StrEnum):
    """What a headline is about, the gravest first. The console adds a first one for a store that is away."""

    OLDER_RELEASE = "older_release"
    GATE_SHUT = "gate_shut"
    NO_WORKERS = "no_workers"
    NOT_TAKEN = "not_taken"
    FAILED = "failed"
    REJECTED = "rejected"
    NEAR_DEADLINE = "near_deadline"
    WELL = "well"


@dataclass(frozen=True, slots=True)
class Headline:
    """The sentence. `concern`: what it is about. `step`: what to do or to look at first, None if there is nothing."""

    concern: Concern
    text: str
    step: Step | None = None

    def as_json(self) -> dict[str, Any]:
        """Return the headline as other programs see it."""
        return {"concern": self.concern.value, "text": self.text, "step": self.step and self.step.as_json()}


@dataclass(frozen=True, slots=True)
class Facts:
    """What a headline is made of.

    `alive`: how many workers gave a sign of life lately. `older`: what an older release does in this store, None where
    nobody has looked.
    """

    summary: Summary
    measured: Measured
    alive: int
    older: OldLook | None = None


def headline(facts: Facts) -> Headline:
    """Return the gravest concern; that all is well, if there is none."""
    return next(iter(concerns(facts)), None) or _well(facts)


def concerns(facts: Facts) -> list[Headline]:
    """Return everything that somebody should know, the gravest first."""
    return [found for look in _LOOKS if (found := look(facts))]


def _older_release(facts: Facts) -> Headline | None:
    """Return the gravest of all: what works past the gate and past holds, or a ledger that nobody works on."""
    if facts.older is None or facts.older.nothing:
        return None
    text = f"{facts.older.problem}: {facts.older.remedy}."
    return Headline(Concern.OLDER_RELEASE, text[0].upper() + text[1:], Step(Verb.CHECK))


def _gate_shut(facts: Facts) -> Headline | None:
    gate = facts.summary.gate
    if gate.gravest is None:
        return None
    standing = gate.gravest
    by = f" by {standing.by}" if standing.reason == "paused" else ""
    why = f" ({standing.why})" if standing.why else ""
    text = f"No calls are made since {_clock(standing.since_ms)} UTC: {standing.reason}{by}{why}."
    return Headline(Concern.GATE_SHUT, text, gate_advice(standing).first)


def _no_workers(facts: Facts) -> Headline | None:
    if facts.alive:
        return None
    waiting = sum(facts.summary.states[state] for state in OPEN_STATES)
    waits = f", and {_groups(waiting)} to be closed" if waiting else ""
    return Headline(Concern.NO_WORKERS, f"No worker is alive{waits}. Start one.", Step(Verb.CHECK))


def _not_taken(facts: Facts) -> Headline | None:
    summary, measured = facts.summary, facts.measured
    if measured.overdue_s <= NOT_TAKEN_S or summary.closed_last_minute or summary.states[State.CLOSING]:
        return None
    minutes = int(measured.overdue_s // 60)
    text = f"Nobody takes what is due: {_groups(measured.due)}, the first for {minutes} min."
    return Headline(Concern.NOT_TAKEN, text, Step(Verb.CHECK))


def _failed(facts: Facts) -> Headline | None:
    failed = sorted(facts.summary.failed.items(), key=lambda item: -item[1])
    if not failed:
        return None
    number = sum(count for _, count in failed)
    text = f"{number:,} {'group needs' if number == 1 else 'groups need'} a person."
    reasons = ", ".join(f"{count:,} {reason.value}" for reason, count in failed)
    chosen = Selection(filter=Filter(states=(State.FAILED,)))
    return Headline(Concern.FAILED, f"{text} By reason: {reasons}.", Step(Verb.LIST, chosen))


def _rejected(facts: Facts) -> Headline | None:
    number = facts.summary.rejected
    if not number:
        return None
    text = f"{number:,} rejected {'event waits' if number == 1 else 'events wait'} for a person."
    return Headline(Concern.REJECTED, text, Step(Verb.REJECTED))


def _near_deadline(facts: Facts) -> Headline | None:
    number = facts.measured.near_deadline
    if not number:
        return None
    text = f"{_groups(number)} soon at the deadline, after which nobody tries any more."
    return Headline(Concern.NEAR_DEADLINE, text, Step(Verb.LIST, Selection(filter=Filter(states=(State.RETRYING,)))))


def _well(facts: Facts) -> Headline:
    summary = facts.summary
    still = sum(summary.states[state] for state in OPEN_STATES)
    return Headline(Concern.WELL, f"All is well: {summary.closed_last_hour:,} closed in the last hour, {still:,} open.")


_LOOKS: Sequence[Callable[[Facts], Headline | None]] = (
    _older_release, _gate_shut, _no_workers, _not_taken, _failed, _rejected, _near_deadline,
)  # fmt: skip


def _groups(number: int) -> str:
    return f"{number:,} {'group is' if number == 1 else 'groups are'}"


def _clock(at_ms: int) -> str:
    return iso(at_ms)[:16].replace("T", " ")
