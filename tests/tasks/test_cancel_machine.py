"""The ledger with cancel events against a simple model: a group that was cancelled last is not called."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

import redis as sync_redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import rule, run_state_machine_as_test
from redis.asyncio import Redis

from tasks.closure import State
from tasks.events.event import GroupCancelled, GroupComplete
from tests.fake_store import FakeStore
from tests.tasks.test_ledger_machine import LedgerMachine, references

NEVER = 10**9
WEEK_S = 7 * 86_400
sources = st.sampled_from(["wms", "erp"])
times = st.sampled_from([None, 1, 2, 3, 4, 5])


class CancelMachine(LedgerMachine):
    """The model: for each group the times of its sources' cancel and complete events, and whether an event holds it."""

    def __init__(self, store: Callable[[], Redis]) -> None:
        super().__init__(store)
        self.cancelled: dict[str, dict[str, int]] = defaultdict(dict)
        self.completed: dict[str, dict[str, int]] = defaultdict(dict)
        self.by_event = set[str]()
        self.named = set[str]()  # groups that a complete event has named

    def _live(self, reference: str) -> bool:
        _, ends = self.leases.get(reference, (0, 0))
        return self.states.get(reference) is State.CLOSING and ends > self.book.clock.ms

    def _held_now(self, reference: str) -> None:
        self.held[reference] = self._live(reference)
        if not self.held[reference]:
            self.states[reference] = State.HELD
            self.leases[reference] = (self.leases.get(reference, (0, 0))[0], 0)

    @rule(reference=references, source=sources, second=times)
    def cancel(self, reference: str, source: str, second: int | None) -> None:
        """A cancel event comes, perhaps twice, perhaps older than a complete one that came before."""
        self.events += 1
        event = GroupCancelled(reference, source, f"x{self.events}", second)
        words = [word.value for word in self.do(self.book.ledger.receive([event, event]))]
        before = self.states.get(reference)
        if second is not None and self.completed[reference].get(source, -1) > second:
            assert words == ["outdated", "duplicate"]
        elif before in (State.CLOSED, State.DISCARDED):
            assert words == ["too late" if before is State.CLOSED else "discarded", "duplicate"]
        else:
            assert words == ["cancelled", "duplicate"]
            mine = self.cancelled[reference]
            mine[source] = max(mine.get(source, -1), NEVER if second is None else second)
            if reference not in self.held:
                self.by_event.add(reference)
            self._held_now(reference)

    @rule(reference=references, source=sources, second=times)
    def complete(self, reference: str, source: str, second: int | None) -> None:
        """A complete event with a time comes: it ends the cancels of its source that are older, and nothing else."""
        self.events += 1
        event = GroupComplete(reference, source, f"c{self.events}", time_ms=second)
        [word] = self.do(self.book.ledger.receive([event]))
        if self.states.get(reference) in (State.CLOSED, State.DISCARDED):
            assert word == "duplicate"
            return
        freed = second is not None and self._confirm(reference, source, second)
        assert (word == "released") == freed
        assert (word == "held") == (self.states.get(reference) is State.HELD and not freed)
        if freed:
            del self.held[reference]
            self.states[reference] = State.QUEUED if self.states[reference] is State.HELD else self.states[reference]
        self.states.setdefault(reference, State.QUEUED)
        self.named.add(reference)

    def _confirm(self, reference: str, source: str, second: int) -> bool:
        mine = self.completed[reference]
        mine[source] = max(mine.get(source, -1), second)
        if second <= self.cancelled[reference].get(source, NEVER):
            return False
        del self.cancelled[reference][source]
        if reference not in self.by_event or self.cancelled[reference]:
            return False
        self.by_event.remove(reference)
        return True

    @rule(reference=references)
    def hold(self, reference: str) -> None:
        """An operator holds a group: the hold of an event becomes theirs."""
        [answer] = self.do(self.book.ledger.holds.hold([reference], by="ann", why="test"))
        before = self.states.get(reference)
        if before in (State.CLOSED, State.DISCARDED):
            assert answer.word.value == before.value
            return
        assert (answer.word == "already") == (reference in self.held and reference not in self.by_event)
        self.by_event.discard(reference)
        self._held_now(reference)
        assert (answer.lease_s is not None) == self.held[reference]

    @rule(reference=references)
    def release(self, reference: str) -> None:
        """An operator releases a group, whoever holds it."""
        [answer] = self.do(self.book.ledger.holds.release([reference]))
        assert (answer.word == "not held") == (reference not in self.held)
        assert (answer.word == "forgotten") == (reference in self.held and reference not in self._asked())
        self._freed(reference, forgotten=answer.word == "forgotten")

    def _asked(self) -> set[str]:
        """The groups that anybody has asked to close: the records tell, which the model has not made up."""
        known = {ref for ref in self.states if self.do(self.book.ledger.read([ref]))[0]}
        return self.named | {ref for ref in known if self.do(self.book.read(ref)).event_id}

    def _freed(self, reference: str, *, forgotten: bool) -> None:
        self.held.pop(reference, None)
        self.by_event.discard(reference)
        self.cancelled.pop(reference, None)
        if forgotten:
            self.states.pop(reference)
            self.leases.pop(reference, None)

    @rule()
    def week(self) -> None:
        """A week passes: groups that only events have named, to cancel them, are forgotten, and no others."""
        asked = self._asked()
        self.book.clock.forward(WEEK_S)
        self.do(self.book.ledger.prune(keep_s=100 * WEEK_S))
        for reference in self.by_event - asked:
            assert self.do(self.book.ledger.read([reference])) == [None]
            self._freed(reference, forgotten=True)

    async def _holds(self) -> None:
        await super()._holds()
        for reference, state in self.states.items():
            if state is State.CLOSED:
                self.by_event.discard(reference)
                self.cancelled.pop(reference, None)
            if reference in self.by_event:
                hold = (await self.book.read(reference)).hold
                assert hold is not None
                assert hold.source in self.cancelled[reference]


def run(store: Callable[[], Redis], examples: int) -> None:
    """Try so many examples."""
    machine: Any = partial(CancelMachine, store)
    run_state_machine_as_test(machine, settings=settings(max_examples=max(examples, 1), stateful_step_count=40))


def test_on_the_fake_store() -> None:
    """The model holds on fakeredis, with few examples, because it is slow."""
    run(FakeStore, settings().max_examples // 16)


def test_on_a_real_store(store_url: str) -> None:
    """The model holds on a real Valkey."""

    def emptied() -> Redis:
        with sync_redis.Redis.from_url(store_url) as client:
            client.flushall()
        return Redis.from_url(store_url)

    run(emptied, settings().max_examples // 4)
