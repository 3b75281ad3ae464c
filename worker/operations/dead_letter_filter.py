"""Says which rejected events an operator means to export or discard: ids, or all that meet some conditions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from tasks.ledger.dead_letter import LetterHead
from worker.operations.dead_letter_selection import position
from worker.operations.moment import Moment
from worker.operations.refusal import Refused, Rule
from worker.operations.selection import named, of_type, texts

# What differs from event to event in one and the same problem: quoted text, and numbers.
_DETAILS = re.compile(r"\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|\d+")
_TEXTS = {"problem": "problem", "type": "event_type"}
_TIMES = ("since", "until")


@dataclass(frozen=True, slots=True)
class DeadLetterFilter:
    """Rejected events by their ids, or, without ids, all that meet every condition that is given.

    `problem`: one of their problems, or all of them as `rejected list` shows them; quoted text and numbers in it do not
    count. `event_type`: the type that was refused. `since`, `until`: the first and the last time at which such an event
    may have come last.
    """

    ids: tuple[str, ...] = ()
    problem: str | None = None
    event_type: str | None = None
    since: Moment | None = None
    until: Moment | None = None

    @property
    def everything(self) -> bool:
        """Whether every rejected event is meant. An empty text, as a shell's unset variable gives, is no condition."""
        return not (self.ids or self.problem or self.event_type or self.since or self.until)

    @property
    def size(self) -> int | None:
        """How many are named by their ids, or None when they are still to be looked up."""
        return len(self.ids) or None

    def check(self) -> None:
        """Raise Refused when ids and conditions are mixed, or an id cannot be one."""
        if self.ids and replace(self, ids=()) != DeadLetterFilter():
            raise Refused(Rule.MIXED, "give the ids of rejected events or conditions, not both")
        for rejected_id in self.ids:
            position(rejected_id)

    def at(self, now_ms: int) -> DeadLetterFilter:
        """Return the filter with absolute times. `now_ms`: the time by the store's clock (ms since the epoch)."""
        since, until = (moment and Moment.at(moment.ms(now_ms)) for moment in (self.since, self.until))
        return replace(self, since=since, until=until)

    def matches(self, head: LetterHead, now_ms: int) -> bool:
        """Return whether a rejected event meets the conditions. `now_ms`: the time by the store's clock."""
        since_ms = self.since.ms(now_ms) if self.since else 0
        until_ms = self.until.ms(now_ms) if self.until else head.last_ms
        return (
            since_ms <= head.last_ms <= until_ms
            and self.event_type in (None, head.refused_type)
            and (self.problem is None or alike(self.problem) in {alike_all(head.problems), *map(alike, head.problems)})
        )

    def as_json(self) -> dict[str, Any]:
        """Return what is given, and nothing else."""
        given = named(self.ids, "rejected") if self.ids else {}
        given |= {name: getattr(self, field) for name, field in _TEXTS.items()}
        given |= {name: moment.text for name in _TIMES if (moment := getattr(self, name))}
        return {name: value for name, value in given.items() if value is not None}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DeadLetterFilter:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        if unknown := document.keys() - {"rejected", *_TEXTS, *_TIMES}:
            raise ValueError(f"{min(unknown)} does not choose rejected events")
        given: dict[str, Any] = {_TEXTS[name]: of_type(str, document[name]) for name in _TEXTS if name in document}
        given |= {name: Moment.parse(of_type(str, document[name])) for name in _TIMES if name in document}
        return cls(texts(document["rejected"]) if "rejected" in document else (), **given)


def alike(problem: str) -> str:
    """Return what a problem has in common with others of its kind: the text without quoted text and numbers."""
    return _DETAILS.sub("…", problem)


def alike_all(problems: tuple[str, ...]) -> str:
    """Return the same for all problems of one rejected event, as one text."""
    return alike("; ".join(problems))
