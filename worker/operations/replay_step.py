"""Reads rejected events again, and receives the events in them: for whoever carries a stored replay.

A crash before the answers reach the ledger is safe: the events are received again, and the ledger knows them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from tasks.events import batch
from tasks.events.event import Event, Rejection
from tasks.ledger.bulk_action import BulkAction
from tasks.ledger.dead_letter import DeadLetter
from tasks.ledger.ledger import Ledger
from tasks.ledger.tally import Intake
from tasks.ledger.values import Received
from worker.operations.corrections import Correct, NotCorrected, corrections, set_field
from worker.operations.dead_letter_selection import DeadLetterSelection
from worker.operations.operator import Verb
from worker.operations.reading import Reading
from worker.operations.step import CouldNot, Step
from worker.settings import Settings

CHUNK = 20  # rejected events in one step
_RECEIVED_AT_ONCE = 500
_OPTIONS = ("accept_type", "use_subject", "set")  # what of a selection says how events are read


@dataclass(slots=True)
class Replayer:
    """Receives the events of rejected ones.

    `received`: what these came to (`new`, `duplicate` …), counted. `still_wrong`: by the rejected event's id, what is
    still wrong with it.
    """

    received: Counter[str] = field(default_factory=Counter)
    still_wrong: dict[str, tuple[str, ...]] = field(default_factory=dict)

    async def answer(
        self, ledger: Ledger, settings: Settings, action: BulkAction, ids: Sequence[str]
    ) -> dict[str, str]:
        """Receive the first few of these, and return for each `received`, `still wrong` or `gone`.

        Raises StoreUnavailable, LedgerBroken, and CouldNot when the action does not say how events are read.
        """
        selection = _selection(action)
        reading, correct = await Reading.of(ledger, settings, selection), given_corrections(selection)
        chosen = {one.rejected_id: one async for one in ledger.dead_letters.named(ids[:CHUNK])}
        wrong, ready = {}, []
        for one in chosen.values():
            try:
                problems, events = read_one(one, reading, correct)
            except NotCorrected as error:
                problems, events = (str(error),), []
            if problems:
                wrong[one.rejected_id] = problems
            else:
                ready.append((one, events))
        self.still_wrong |= wrong
        done = await self.receive(ledger, ready)
        states = dict.fromkeys(chosen, "still wrong") | dict.fromkeys(done, "received")
        return {name: states.get(name, "gone") for name in ids[:CHUNK]}

    async def receive(self, ledger: Ledger, ready: Sequence[tuple[DeadLetter, list[Event]]]) -> list[str]:
        """Receive the events, and return the ids of those rejected ones of which all were taken."""
        words, done = await _receive_all(ledger, [event for _, events in ready for event in events]), []
        for one, events in ready:
            mine = [next(words) for _ in events]
            if problems := tuple(word.problem for word in mine if word.problem):
                self.still_wrong[one.rejected_id] = problems
            else:
                done.append(one.rejected_id)
            self.received.update(word.value for word in mine if not word.problem)
        return done


def given_corrections(selection: DeadLetterSelection, by_hand: Correct | None = None) -> Correct:
    """Return the correction that the selection asks for. `by_hand`: one that comes last."""
    given = [set_field(path, value) for path, value in selection.fields]
    return corrections([*given, by_hand] if by_hand else given)


def read_one(one: DeadLetter, reading: Reading, correct: Correct) -> tuple[tuple[str, ...], list[Event]]:
    """Read a rejected event again after `correct`. Return what is wrong with it, and the events in it.

    Raises NotCorrected.
    """
    elements = reading.read(correct(one.body), one.origin)
    wrong = tuple(problem for element in elements for problem in _problems(element, several=len(elements) > 1))
    return wrong, [element.event for element in elements if not isinstance(element.event, Rejection)]


async def _receive_all(ledger: Ledger, events: Sequence[Event]) -> Iterator[Received]:
    """Receive the events in steps of bounded size, and return what became of each, in order."""
    words: list[Received] = []
    for start in range(0, len(events), _RECEIVED_AT_ONCE):
        words += await ledger.receive(events[start : start + _RECEIVED_AT_ONCE], intake=Intake.REPLAY)
    return iter(words)


def _selection(action: BulkAction) -> DeadLetterSelection:
    given = {name: value for name, value in action.selection.items() if name in _OPTIONS}
    try:
        return DeadLetterSelection.from_json(given)
    except ValueError:
        raise CouldNot(f"what the store holds of the action {action.id} is damaged", Step(Verb.AUDIT)) from None


def _problems(element: batch.Element, *, several: bool) -> Iterable[str]:
    problems = element.event.problems if isinstance(element.event, Rejection) else ()
    return (f"{element.identity}: {problem}" for problem in problems) if several else problems
