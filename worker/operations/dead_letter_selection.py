"""Says which rejected events an operator means, and how they are corrected before they are read again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from worker.operations.corrections import of_one_event
from worker.operations.operator import Verb
from worker.operations.refusal import Refused, Rule
from worker.operations.selection import named, of_type, texts

_TEXTS = {
    "problem": "problem",
    "accept_type": "accept_type",
    "source": "source",
    "type": "event_type",
    "up_to": "up_to",
}
_FLAGS = {"use_subject": "use_subject", "edited": "edited"}


@dataclass(frozen=True, slots=True)
class DeadLetterSelection:
    """Rejected events: those with these ids, or all that meet every condition that is given.

    `ids`: as `closer rejected list` shows them. `accept_type`: a type that means complete after all. `use_subject`:
    take the subject for the reference where the data have none. `source`, `event_type`: only events of this source and
    type; what was refused for the type counts, too. `up_to`: the id of the last rejected event that may be chosen.
    `fields`: pairs of a dotted path and a value that is set in each event. `edited`: whether each is corrected by hand.
    `shown`: whether the operator has seen what would come of it. `problem`: as `DeadLetterFilter` has it.
    """

    ids: tuple[str, ...] = ()
    accept_type: str | None = None
    use_subject: bool = False
    source: str | None = None
    event_type: str | None = None
    up_to: str | None = None
    fields: tuple[tuple[str, str], ...] = ()
    edited: bool = False
    shown: bool = False
    problem: str | None = None

    @property
    def verb(self) -> Verb:
        """What a replay of these events asks for, which the guard must allow."""
        if self.accept_type:
            return Verb.ACCEPT_TYPE
        return Verb.USE_SUBJECT if self.use_subject else Verb.REPLAY

    @property
    def everything(self) -> bool:
        """Whether the operator gave neither ids nor a condition. An empty text is no condition."""
        return not (self.ids or self.accept_type or self.use_subject or self.kind_given)

    @property
    def kind_given(self) -> bool:
        """Whether a problem, a source or a type was given."""
        return bool(self.problem or self.source or self.event_type)

    @property
    def size(self) -> int | None:
        """How many ids were given; None if there are none, so that the events must be looked up."""
        return len(self.ids) or None

    def check(self) -> None:
        """Raises Refused when the choice itself breaks a rule, or when an id is not one."""
        if self.accept_type and self.use_subject and not self.ids:
            text = "to accept a type and to use the subject at once takes the ids of the events"
            raise Refused(Rule.TWO_STEPS, text)
        if self.ids and self.kind_given:
            text = "a problem, a source and a type choose events where no ids are given"
            raise Refused(Rule.KIND_WITHOUT_SUBJECT, text)
        if (self.fields or self.edited) and not self.ids:
            raise Refused(Rule.CORRECTION_WITHOUT_IDS, "only events that are named by their ids are corrected")
        for rejected_id in (*self.ids, *([] if self.up_to is None else [self.up_to])):
            position(rejected_id)
        for path, _ in self.fields:
            if len(self.ids) > 1 and of_one_event(path):
                text = f"to set {path} would make these {len(self.ids)} events the same: correct them one at a time"
                raise Refused(Rule.ONE_VALUE_FOR_SEVERAL, text, field=path, events=len(self.ids))

    def as_json(self) -> dict[str, Any]:
        """Return what is given, and nothing else."""
        given = named(self.ids, "rejected") if self.ids else {}
        options = {
            "accept_type": self.accept_type, "use_subject": self.use_subject, "source": self.source,
            "type": self.event_type, "problem": self.problem, "up_to": self.up_to,
            "set": [list(pair) for pair in self.fields], "edited": self.edited,
        }  # fmt: skip
        return given | {name: value for name, value in options.items() if value}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> DeadLetterSelection:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        known = {"rejected", "set", *_TEXTS, *_FLAGS}
        if unknown := document.keys() - known:
            raise ValueError(f"{min(unknown)} does not choose rejected events")
        pairs = of_type(list, document.get("set", []))
        given: dict[str, Any] = {_TEXTS[name]: of_type(str, document[name]) for name in _TEXTS if name in document}
        given |= {_FLAGS[name]: of_type(bool, document[name]) for name in _FLAGS if name in document}
        ids = texts(document["rejected"]) if "rejected" in document else ()
        return cls(ids, fields=tuple(_pair(pair) for pair in pairs), **given)


def _pair(value: Any) -> tuple[str, str]:
    path, text = texts(value)
    return path, text


def position(rejected_id: str) -> tuple[int, int]:
    """Return an id as a pair of numbers: ms since the epoch, and a counter. A later event has a greater pair.

    Raises Refused when it is not an id.
    """
    parts = rejected_id.split("-")
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 20]
    if len(parts) != 2 or len(numbers) != 2 or max(numbers) >= 2**64:
        text = f"{rejected_id!r} is not the id of a rejected event: it looks like 1767225600000-0"
        raise Refused(Rule.NOT_AN_ID, text, id=rejected_id)
    return numbers[0], numbers[1]
