"""Says which closures an operator means: references, or all that match a filter. Both are read and written as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from tasks.closure import Reason, State
from tasks.events.data import REFERENCE_SHAPE
from tasks.events.event import is_reference
from tasks.ledger.catalogue import Query
from worker.operations.moment import Moment
from worker.operations.refusal import Refused, Rule

T = TypeVar("T")

# The fields of a filter in JSON; several values stand in a list.
_SEVERAL = {"state": "states", "reason": "reasons", "status": "statuses", "code": "codes", "source": "sources"}
_TIMES = ("since", "until")
_SINGLE = {"attempts_over": int, "prefix": str, "text": str}
NAMED_MOST = 1000  # the most ids that one entry of the audit keeps
_NAMED_FIRST = 20


@dataclass(frozen=True, slots=True)
class Filter:
    """Conditions on closures. Each that is given must hold; one that has several values holds for any of them.

    The conditions are those of `tasks.ledger.catalogue.Query`, with times as they were written.
    """

    states: tuple[State, ...] = ()
    reasons: tuple[Reason, ...] = ()
    statuses: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    since: Moment | None = None
    until: Moment | None = None
    attempts_over: int | None = None
    prefix: str | None = None
    text: str | None = None

    @property
    def everything(self) -> bool:
        """Whether every closure matches.

        An empty text or prefix is not a condition, because every closure has it; a shell's unset variable gives one.
        """
        return replace(self, prefix=self.prefix or None, text=self.text or None) == Filter()

    def at(self, now_ms: int) -> Filter:
        """Return the filter with absolute times. `now_ms`: the time by the store's clock (ms since the epoch)."""
        since, until = (moment and Moment.at(moment.ms(now_ms)) for moment in (self.since, self.until))
        return replace(self, since=since, until=until)

    def query(self, now_ms: int) -> Query:
        """Return the ledger's query. `now_ms`: the time by the store's clock (ms since the epoch)."""
        since_ms, until_ms = (moment.ms(now_ms) if moment else None for moment in (self.since, self.until))
        return Query(
            self.states, self.reasons, self.statuses, self.codes, self.sources, since_ms, until_ms,
            self.attempts_over, self.prefix, self.text,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Return the conditions that are given, and no others."""
        found: dict[str, Any] = {name: list(map(str, getattr(self, field))) for name, field in _SEVERAL.items()}
        found |= {name: moment.text for name in _TIMES if (moment := getattr(self, name))}
        found |= {name: getattr(self, name) for name in _SINGLE}
        return {name: value for name, value in found.items() if value not in ([], None)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Filter:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        if unknown := of_type(dict, document).keys() - {*_SEVERAL, *_TIMES, *_SINGLE}:
            raise ValueError(f"{min(unknown)} is not a condition")
        given: dict[str, Any] = {_SEVERAL[name]: texts(document[name]) for name in _SEVERAL if name in document}
        given |= {name: Moment.parse(of_type(str, document[name])) for name in _TIMES if name in document}
        given |= {name: of_type(kind, document[name]) for name, kind in _SINGLE.items() if name in document}
        given["states"] = tuple(map(State, given.get("states", ())))
        given["reasons"] = tuple(map(Reason, given.get("reasons", ())))
        return cls(**given)


_ALL = Filter()


@dataclass(frozen=True, slots=True)
class Selection:
    """Which closures: those with these references, or, without references, all that match the filter."""

    references: tuple[str, ...] = ()
    filter: Filter = _ALL

    @classmethod
    def of(cls, references: Sequence[str], filter_: Filter = _ALL) -> Selection:
        """Make a selection with each reference once, in the order given."""
        return cls(tuple(dict.fromkeys(references)), filter_)

    @property
    def everything(self) -> bool:
        """Whether there are neither references nor conditions."""
        return not self.references and self.filter.everything

    @property
    def size(self) -> int | None:
        """None, because the closures have not been looked up."""
        return None

    def check(self) -> None:
        """Raises Refused when references and a filter are mixed, or when something is not a reference."""
        if self.references and self.filter != _ALL:
            raise Refused(Rule.MIXED, "give references or filters, not both")
        for reference in self.references:
            if not is_reference(reference):
                text = f"{reference!r} is not a reference: it needs {REFERENCE_SHAPE}"
                raise Refused(Rule.NOT_A_REFERENCE, text, reference=reference)

    def at(self, now_ms: int) -> Selection:
        """Return the selection with absolute times. `now_ms`: the time by the store's clock (ms since the epoch)."""
        return replace(self, filter=self.filter.at(now_ms))

    def as_json(self) -> dict[str, Any]:
        """Return `{"references": […]}` or `{"filter": {…}}`."""
        return {"references": list(self.references)} if self.references else {"filter": self.filter.as_json()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Selection:
        """Read what `as_json` wrote. Raises ValueError for anything else."""
        if document.keys() == {"references"}:
            return cls(texts(document["references"]))
        if document.keys() == {"filter"}:
            return cls((), Filter.from_json(document["filter"]))
        raise ValueError("a selection has references, or a filter")


def texts(value: Any) -> tuple[str, ...]:
    """Return a list from JSON that holds at least one text. Raises ValueError for anything else."""
    found = tuple(of_type(str, one) for one in of_type(list, value))
    if not found:
        raise ValueError("a list is empty; leave it out")
    return found


def of_type(kind: type[T], value: Any) -> T:
    """Return a value from JSON. Raises ValueError when it is not exactly of this type."""
    if type(value) is not kind:
        raise ValueError(f"{kind.__name__} is needed, this is {type(value).__name__}")
    return value


def named(ids: Sequence[str], what: str) -> dict[str, Any]:
    """Return ids as the audit keeps them, under the name `what`.

    The audit is never shortened. So of more than NAMED_MOST ids it keeps the first 20 and their number.
    """
    if len(ids) <= NAMED_MOST:
        return {what: list(ids)}
    return {what: list(ids[:_NAMED_FIRST]), "count": len(ids)}
