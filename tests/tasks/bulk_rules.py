"""What operators do with bulk actions, as rules of the ledger's state machine."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from tasks.closure import State
from tasks.ledger.bulk import BulkWord
from tests.tasks.book import Book
from tests.tasks.bulking import audit_of, begin, read, step

T = TypeVar("T")
references = st.sampled_from(["a", "b"])


class BulkRules(RuleBasedStateMachine):
    """The part of the machine that begins bulk actions, carries them on and recalls them.

    `states`: the model's closures. `bulk`: actions and recalls, in their order. `called`: groups that were called since
    they were last re-queued by a bulk action.
    """

    book: Book
    runner: asyncio.Runner
    states: dict[str, State]

    def __init__(self) -> None:
        super().__init__()
        self.bulk: list[str] = []
        self.called: set[str] = set()

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it on this machine's loop."""
        return self.runner.run(work)

    async def look(self) -> None:
        """Bring the model's states up to date."""
        for reference in self.states:
            self.states[reference] = await self.book.state(reference)

    @rule(verb=st.sampled_from(["requeue", "discard"]), chosen=st.lists(references, min_size=1, unique=True))
    def bulk_begin(self, verb: str, chosen: list[str]) -> None:
        """An operator begins a bulk action on closures as they are now."""
        if chosen := [reference for reference in chosen if reference in self.states]:
            self.bulk.append(self.do(begin(self.book, verb, *chosen)))

    @precondition(lambda self: self.bulk)
    @rule(data=st.data(), holder=st.sampled_from(["ann", "bob"]))
    def bulk_step(self, data: st.DataObject, holder: str) -> None:
        """Somebody does one item: only what failed is re-queued or discarded, only what was not called is recalled."""
        action_id = data.draw(st.sampled_from(self.bulk))
        action = self.do(read(self.book, action_id))
        self.do(self.look())
        before = dict(self.states)
        self.do(step(self.book, action_id, holder, 1))
        self.do(self.look())
        changed = {reference for reference, state in self.states.items() if before[reference] is not state}
        assert len(changed) <= 1
        for reference in changed:
            self._check(reference, action.verb, before[reference])

    def _check(self, reference: str, verb: str, before: State) -> None:
        if verb == "recall" and self.states[reference] is State.FAILED:
            assert reference not in self.called or before is State.DISCARDED
        elif verb != "recall":
            assert before is State.FAILED
            self.called.discard(reference)

    @precondition(lambda self: self.bulk)
    @rule(data=st.data())
    def bulk_recall(self, data: st.DataObject) -> None:
        """An operator recalls an action; a recall is not recalled."""
        action_id = data.draw(st.sampled_from(self.bulk))
        if self.do(read(self.book, action_id)).verb == "recall":
            return
        found = self.do(self.book.ledger.bulk.recall(action_id, holder="", audit=audit_of("recall")))
        if not isinstance(found, BulkWord):
            self.bulk.append(found)
