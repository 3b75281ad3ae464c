"""Which rejected events to replay: named by their ids, refused for a type, or with a subject that names the group."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from tasks.errors import CloserError
from tasks.event import GroupComplete, Rejection
from worker.operations.context import OperatorContext
from worker.operations.dead_letters import Rejected, find, named, newest
from worker.operations.replay import Reading

_UNKNOWN = "; see `closer rejected list`"


@dataclass(frozen=True, slots=True)
class Kind:
    """Events of one type from one source."""

    source: str
    type: str

    def as_json(self, found: list[Rejected]) -> dict[str, Any]:
        """The kind, and how many rejected events are of it."""
        return {"source": self.source, "type": self.type, "events": len(found)}


class SeveralKinds(Exception):
    """Subjects are used for one kind of events at a time, and these are more."""

    def __init__(self, kinds: dict[Kind, list[Rejected]]) -> None:
        self.kinds = kinds


@dataclass(frozen=True, slots=True)
class Choice:
    """What an operator has chosen. `up_to`: none that was rejected after this one."""

    ids: tuple[str, ...] = ()
    accept_type: str | None = None
    use_subject: bool = False
    source: str | None = None
    event_type: str | None = None
    up_to: str | None = None

    def reading(self, context: OperatorContext) -> Reading:
        """How the events are read again."""
        types = context.settings.accepted_types
        types = types.also(self.accept_type) if self.accept_type else types
        return Reading(context.settings.events_stream, types, self.use_subject)

    def in_words(self, chosen: list[Rejected]) -> str:
        """Which events these are, for the audit."""
        ids = named([one.rejected_id for one in chosen])
        if self.accept_type:
            return f"accept type {self.accept_type}: {ids}"
        return f"use subject: {ids}" if self.use_subject else ids


async def choose(context: OperatorContext, choice: Choice) -> list[Rejected]:
    """The rejected events of a choice, oldest first but for those that are named by their ids.

    Raises SeveralKinds; CloserError when one that is named is not there, or none matches; StoreUnavailable.
    """
    chosen = await _chosen(context, choice)
    if choice.up_to:
        last = position(choice.up_to)
        chosen = [one for one in chosen if position(one.rejected_id) <= last]
    if not chosen:
        raise CloserError(f"no rejected event matches{_UNKNOWN}")
    return chosen


def position(rejected_id: str) -> tuple[int, int]:
    """An id as numbers: the greater, the later. Raises ValueError when it is not an id."""
    parts = rejected_id.split("-")
    numbers = [int(part) for part in parts if part.isascii() and part.isdigit() and len(part) <= 20]
    if len(parts) != 2 or len(numbers) != 2 or max(numbers) >= 2**64:
        raise ValueError(f"{rejected_id} is not an id: it looks like 1767225600000-0")
    return numbers[0], numbers[1]


async def by_id(context: OperatorContext, ids: tuple[str, ...]) -> list[Rejected]:
    """The rejected events of these ids. Raises CloserError that names one that is not there, and StoreUnavailable."""
    found = await find(context, list(dict.fromkeys(ids)))
    missing = set(ids) - {one.rejected_id for one in found}
    if missing:
        raise CloserError(f"no rejected event has the id {min(missing)}{_UNKNOWN}")
    return found


async def _chosen(context: OperatorContext, choice: Choice) -> list[Rejected]:
    if choice.ids:
        return await by_id(context, choice.ids)
    if choice.accept_type:
        return [one async for one in newest(context) if one.refused_type == choice.accept_type][::-1]
    kinds = await _by_subject(context, choice)
    if len(kinds) > 1:
        raise SeveralKinds(kinds)
    return next(iter(kinds.values()), [])


async def _by_subject(context: OperatorContext, choice: Choice) -> dict[Kind, list[Rejected]]:
    reading = choice.reading(context)
    kinds: dict[Kind, list[Rejected]] = {}
    async for one in newest(context):
        for kind in _kinds(one, reading):
            if choice.source in (None, kind.source) and choice.event_type in (None, kind.type):
                kinds.setdefault(kind, []).append(one)
    return {kind: found[::-1] for kind, found in kinds.items()}


def _kinds(one: Rejected, reading: Reading) -> Iterator[Kind]:
    """The kind of an event that becomes one when its subject is used; nothing of any other."""
    before, after = (replace(reading, use_subject=use).read(one.body, one.origin) for use in (False, True))
    if len(after) == 1 and isinstance(before[0].event, Rejection) and isinstance(after[0].event, GroupComplete):
        yield Kind(after[0].event.source, after[0].event.type or "")
