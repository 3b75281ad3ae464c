"""Looks up which rejected events are to be replayed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tasks.events.event import Rejection
from tasks.ledger.dead_letter import DeadLetter
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_filter import DeadLetterFilter
from worker.operations.dead_letter_selection import DeadLetterSelection, position
from worker.operations.dead_letters import by_id, newest
from worker.operations.operator import Verb
from worker.operations.reading import Reading
from worker.operations.refusal import Refused, Rule
from worker.operations.step import CouldNot, Step


@dataclass(frozen=True, slots=True)
class Kind:
    """The events of one type from one source."""

    source: str
    type: str

    def as_json(self, found: list[DeadLetter]) -> dict[str, Any]:
        """Return the kind, and how many rejected events are of it."""
        return {"source": self.source, "type": self.type, "events": len(found)}


class SeveralKinds(Refused):
    """The chosen events are of several kinds.

    Subjects are used for one kind at a time, because each kind gives its subject a meaning of its own. `kinds`: the
    events by their kind.
    """

    def __init__(self, kinds: dict[Kind, list[DeadLetter]]) -> None:
        shown = [kind.as_json(found) for kind, found in kinds.items()]
        text = "the subject is used for events of one source and type at a time, and these are of several"
        super().__init__(Rule.SEVERAL_KINDS, text, kinds=shown)
        self.kinds = kinds


async def choose(context: OperatorContext, selection: DeadLetterSelection) -> list[DeadLetter]:
    """Return the rejected events of a selection: in the order given if ids were given, else oldest first.

    Raises Refused (also SeveralKinds); CouldNot when one that was named is not there, or none matches; and
    StoreUnavailable.
    """
    context.guard(selection.verb, selection)
    chosen = await _chosen(context, selection)
    if selection.up_to is not None:
        last = position(selection.up_to)
        chosen = [one for one in chosen if position(one.rejected_id) <= last]
    if not chosen:
        raise CouldNot("no rejected event matches", Step(Verb.REJECTED))
    return chosen


async def _chosen(context: OperatorContext, selection: DeadLetterSelection) -> list[DeadLetter]:
    if selection.ids:
        return await by_id(context, selection.ids)
    if not selection.use_subject:
        return [one async for one in newest(context) if _meets(one, selection)][::-1]
    kinds = await _by_subject(context, selection)
    if len(kinds) > 1:
        raise SeveralKinds(kinds)
    return next(iter(kinds.values()), [])


async def _by_subject(context: OperatorContext, selection: DeadLetterSelection) -> dict[Kind, list[DeadLetter]]:
    reading = await Reading.of(context.ledger, context.settings, selection)
    kinds: dict[Kind, list[DeadLetter]] = {}
    async for one in newest(context):
        for kind in _kinds(one, reading) if _has_problem(one, selection) else ():
            if selection.source in (None, kind.source) and selection.event_type in (None, kind.type):
                kinds.setdefault(kind, []).append(one)
    return {kind: found[::-1] for kind, found in kinds.items()}


def _kinds(one: DeadLetter, reading: Reading) -> Iterator[Kind]:
    """Yield the kind of a rejected event that becomes an event when its subject is used. For others yield nothing."""
    before, after = (replace(reading, use_subject=use).read(one.body, one.origin) for use in (False, True))
    event = after[0].event
    if len(after) == 1 and isinstance(before[0].event, Rejection) and not isinstance(event, Rejection):
        yield Kind(event.source, event.type or "")


def _meets(one: DeadLetter, selection: DeadLetterSelection) -> bool:
    """Return whether a rejected event meets the conditions, where no subject is used."""
    return (
        selection.accept_type in (None, one.refused_type)
        and selection.event_type in (None, one.refused_type, *_texts(one.body, "type"))
        and selection.source in (None, *_texts(one.body, "source"))
        and _has_problem(one, selection)
    )


def _has_problem(one: DeadLetter, selection: DeadLetterSelection) -> bool:
    return DeadLetterFilter(problem=selection.problem).matches(one, 0)


def _texts(body: bytes, name: str) -> set[str]:
    """Return what an event, or each event of an array, has under this name."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return set()
    events = document if isinstance(document, list) else [document]
    found = [event.get(name) for event in events if isinstance(event, dict)]
    return {value for value in found if isinstance(value, str)}
