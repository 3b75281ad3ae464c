"""Looking up which rejected events are to be replayed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tasks.events.event import GroupComplete, Rejection
from worker.operations.context import OperatorContext
from worker.operations.dead_letter_selection import DeadLetterSelection, position
from worker.operations.dead_letters import DeadLetter, by_id, newest
from worker.operations.operator import Verb
from worker.operations.reading import Reading
from worker.operations.refusal import Refused, Rule
from worker.operations.step import CouldNot, Step


@dataclass(frozen=True, slots=True)
class Kind:
    """Events of one type from one source."""

    source: str
    type: str

    def as_json(self, found: list[DeadLetter]) -> dict[str, Any]:
        """The kind, and how many rejected events are of it."""
        return {"source": self.source, "type": self.type, "events": len(found)}


class SeveralKinds(Refused):
    """Subjects are used for one kind of events at a time, and these are more."""

    def __init__(self, kinds: dict[Kind, list[DeadLetter]]) -> None:
        shown = [kind.as_json(found) for kind, found in kinds.items()]
        text = "the subject is used for events of one source and type at a time, and these are of several"
        super().__init__(Rule.SEVERAL_KINDS, text, kinds=shown)
        self.kinds = kinds


async def choose(context: OperatorContext, selection: DeadLetterSelection) -> list[DeadLetter]:
    """The rejected events of a selection, oldest first but for those that are named by their ids.

    Raises Refused, SeveralKinds among them; CouldNot when one that is named is not there, or none matches; and
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
    if selection.accept_type:
        return [one async for one in newest(context) if one.refused_type == selection.accept_type][::-1]
    kinds = await _by_subject(context, selection)
    if len(kinds) > 1:
        raise SeveralKinds(kinds)
    return next(iter(kinds.values()), [])


async def _by_subject(context: OperatorContext, selection: DeadLetterSelection) -> dict[Kind, list[DeadLetter]]:
    reading = await Reading.of(context, selection)
    kinds: dict[Kind, list[DeadLetter]] = {}
    async for one in newest(context):
        for kind in _kinds(one, reading):
            if selection.source in (None, kind.source) and selection.event_type in (None, kind.type):
                kinds.setdefault(kind, []).append(one)
    return {kind: found[::-1] for kind, found in kinds.items()}


def _kinds(one: DeadLetter, reading: Reading) -> Iterator[Kind]:
    """The kind of an event that becomes one when its subject is used; nothing of any other."""
    before, after = (replace(reading, use_subject=use).read(one.body, one.origin) for use in (False, True))
    if len(after) == 1 and isinstance(before[0].event, Rejection) and isinstance(after[0].event, GroupComplete):
        yield Kind(after[0].event.source, after[0].event.type or "")
