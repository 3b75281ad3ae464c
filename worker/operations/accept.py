"""Takes events in for senders that wait for an answer: all of a request, or none.

They are put on the stream that workers read, and read here as workers read them. So an event means the same through
each door, and what is told of a wrong one is what would be kept with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from tasks.errors import CloserError
from tasks.events import batch
from tasks.events.batch import Element
from tasks.events.event import MAX_EVENT_BYTES, Rejection, parse
from tasks.events.event_type import EventTypes
from tasks.events.strict_json import load
from tasks.ledger.ledger import Ledger
from tasks.ledger.policy import FleetPolicy
from worker.operations.operator import Operator, Scope, Verb, guard
from worker.operations.together import Together
from worker.settings import Settings

_AT_ONCE = 500
_STEP_BYTES = 1024 * 1024
_ANY_TYPE = EventTypes.of("*")
_UNKNOWN = "\0"  # stands for the entry's id, which is known when the event is on the stream; no event has it as its id


@dataclass(frozen=True, slots=True)
class Wrong:
    """What is wrong with one event. `index`: its place in the request, from 0. `field`: the part of the event."""

    index: int
    field: str
    problem: str


class WrongEvents(CloserError):
    """Some events of a request are wrong, so nothing was taken. `wrong`: what is wrong with each."""

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        super().__init__("; ".join(f"event {one.index}: {one.field}: {one.problem}" for one in wrong[:20]))
        self.wrong = wrong


class NotJson(CloserError):
    """The bytes are not JSON, so nothing was taken."""


class TooLarge(CloserError):
    """An event or a batch is too large, so nothing was taken."""


class OutOfScope(CloserError):
    """The sender is bound to other sources or references, so nothing was taken. `index`: the place of the event."""

    def __init__(self, index: int, text: str) -> None:
        super().__init__(text)
        self.index = index


@dataclass(frozen=True, slots=True)
class Taken:
    """Events that the store has now.

    `ids`: the id that the ledger knows each event by, in their order. `rejected`: how many of them close no group,
    because their type does not say that it is complete. A worker keeps those with the rejected events.
    """

    ids: list[str]
    rejected: int


class Accept:
    """Takes events in. What many senders send at the same time goes to the store in one step."""

    def __init__(self, ledger: Ledger, settings: Settings, limit_s: float | None = None) -> None:
        """`limit_s`: how long one call of the store may take (s)."""
        self._ledger = ledger
        self._settings = settings
        self._policies: Together[None, FleetPolicy | None] = Together(self._look, most=_AT_ONCE, limit_s=limit_s)
        self._appends: Together[tuple[str, bytes], str] = Together(self._append, most=_AT_ONCE, limit_s=limit_s)

    async def __call__(self, sender: Operator, body: bytes) -> Taken:
        """Put an event, or an array of events, on the stream. The store has it when this returns.

        Raises Refused, WrongEvents, NotJson, TooLarge and OutOfScope: nothing was taken then. After StoreUnavailable,
        LedgerBroken and TimeoutError it may have been taken.
        """
        guard(sender, Verb.PUBLISH)
        policy = await self._policies.ask(None)
        stream = policy.stream if policy else self._settings.events_stream
        types = policy.types if policy else self._settings.accepted_types
        elements = batch.read(body, source=stream, event_id=_UNKNOWN, types=types)
        refuse_wrong(elements, body)
        _refuse_out_of_scope(elements, sender.scope, stream)
        entry_id = await self._appends.ask((stream, body))
        rejected = sum(isinstance(one.event, Rejection) for one in elements)
        return Taken([_id_of(one).replace(_UNKNOWN, entry_id) for one in elements], rejected)

    async def _look(self, asked: Sequence[None]) -> list[FleetPolicy | None]:
        return [await self._ledger.policy.read()] * len(asked)

    async def _append(self, bodies: Sequence[tuple[str, bytes]]) -> list[str]:
        ids: list[str] = []
        for stream, step in _steps(bodies):
            ids += await self._ledger.events.publish(stream, step)
        return ids


def refuse_wrong(elements: Sequence[Element], body: bytes) -> None:
    """Raises TooLarge, NotJson or WrongEvents when one event cannot be taken in.

    One whose type does not say that its group is complete is not wrong, whatever its data are.
    """
    for index, one in enumerate(elements):
        if len(one.body) > MAX_EVENT_BYTES and not (len(elements) == 1 and batch.is_array(one.body)):
            raise TooLarge(f"event {index} has {len(one.body)} bytes, the limit is {MAX_EVENT_BYTES}")
    if wrong := list(_wrong(elements)):
        _refuse_unreadable(body)
        raise WrongEvents(wrong)


def _wrong(elements: Sequence[Element]) -> Iterator[Wrong]:
    for index, one in enumerate(elements):
        if isinstance(one.event, Rejection) and one.event.refused_type is None:
            for problem in one.event.problems:
                field, _, words = problem.partition(": ")
                yield Wrong(index, field, words)


def _refuse_unreadable(body: bytes) -> None:
    """Raises TooLarge and NotJson when the body as a whole cannot be read. An array without any event can."""
    try:
        if batch.is_array(body):
            batch.split(body)
        else:
            load(body)
    except batch.TooMany as error:
        raise TooLarge(f"the batch has {error}") from None
    except ValueError as error:
        if not _is_json(body):
            raise NotJson(f"the body is {error}") from None


def _is_json(body: bytes) -> bool:
    try:
        load(body)
    except ValueError:
        return False
    return True


def _refuse_out_of_scope(elements: Sequence[Element], scope: Scope, stream: str) -> None:
    """Raises OutOfScope for an event that the sender may not send.

    A cancel event is held to the same. An event of a type that closes nothing counts as what it would close if an
    operator replayed it.
    """
    if not (scope.sources or scope.prefixes):
        return
    for index, one in enumerate(elements):
        event = one.event
        if isinstance(event, Rejection):
            event = parse(one.body, source=stream, event_id=_UNKNOWN, types=_ANY_TYPE, use_subject=True)
        if not (isinstance(event, Rejection) or scope.covers(event.source, event.reference)):
            raise OutOfScope(index, f"event {index}: the token may not send it, by its source or its reference")


def _id_of(element: Element) -> str:
    return element.identity if isinstance(element.event, Rejection) else element.event.event_id


def _steps(bodies: Sequence[tuple[str, bytes]]) -> Iterator[tuple[str, list[bytes]]]:
    """Yield the bodies in order, in steps for one stream that are not much larger than a mebibyte."""
    step: list[bytes] = []
    size, at = 0, ""
    for stream, body in bodies:
        if step and (stream != at or size + len(body) > _STEP_BYTES):
            yield at, step
            step, size = [], 0
        step.append(body)
        size, at = size + len(body), stream
    yield at, step
