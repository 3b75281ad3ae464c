"""Holds and bulk actions against a model: events, workers, operators, carriers, crashes and time, in any order."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import redis as sync_redis
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule, run_state_machine_as_test
from redis.asyncio import Redis

from tasks.closure import Reason, State
from tasks.ledger.bulk import BulkWord
from tests.support import key_of
from tests.tasks.book import LEASE_S
from tests.tasks.bulking import audit_of, begin, read
from tests.tasks.group_rules import REFERENCES, GroupRules, references
from tests.tasks.model_actions import CARRIED_MS
from tests.tasks.model_groups import UNFINISHED, Action

several = st.lists(references, min_size=1, unique=True)
holders = st.sampled_from(["", "ann", "bob"])


class BulkMachine(GroupRules):
    """Each rule is done to the ledger and to the model, and after each both must say the same."""

    def teardown(self) -> None:
        """However it ended: every action that is carried on ends, and every group can be closed."""
        try:
            self._finish()
        finally:
            self.do(self.book.redis.aclose())
            self.runner.close()

    def _finish(self) -> None:
        self.open_gate()
        for reference in REFERENCES:
            self.release(reference)
        for action in list(self.actions.all):
            self.resume(action, "")
        for _ in range(12):
            late_s = [(group.before - self.book.clock.ms) / 1000 for group in self.known()]
            self.forward(max([LEASE_S, *late_s]) + 1)
            for action in self.actions.all:
                self.step(action, "last", 9, lost=False)
            for reference in REFERENCES:
                self.attempt(reference, (State.CLOSED, None))
        self.compare()
        assert not [group for group in self.known() if group.state in UNFINISHED], "stuck"
        assert not [action for action in self.actions.all if action.is_open], "an action does not end"

    @initialize(
        chosen=several, verb=st.sampled_from(["requeue", "requeue", "discard"]), canary=st.sampled_from([0, 1, 2])
    )
    def begin_with_failures(self, chosen: list[str], verb: str, canary: int) -> None:
        """Every group has failed, and an operator has begun an action on some."""
        for number, reference in enumerate(REFERENCES):
            self.fail(reference, [Reason.GONE, Reason.NOT_LOCKED][number % 2])
            self.forward(1)
        self.begin(verb, chosen, "", canary, 0.0)

    @rule(verb=st.sampled_from(["requeue", "requeue", "discard", "hold", "release"]), chosen=several, holder=holders,
          canary=st.sampled_from([0, 0, 1, 2]), rate=st.sampled_from([0.0, 0.0, 2.0]))  # fmt: skip
    def begin(self, verb: str, chosen: list[str], holder: str, canary: int, rate: float) -> None:
        """An operator begins a bulk action on groups as they are now."""
        known = self.groups.known
        items = {ref: known[ref].entered if ref in known and verb != "hold" else 0 for ref in chosen}
        canary = canary if verb == "requeue" else 0
        action_id = self.do(begin(self.book, verb, *chosen, holder=holder, items=items, canary=canary, rate=rate))
        action = Action(action_id, verb, items, len(items), canary=canary, canary_wait_ms=600_000, rate=rate)
        self.actions.all.append(action)
        self.actions.carry(action, holder, self.book.clock.ms + CARRIED_MS)

    @precondition(lambda self: self.actions.all)
    @rule(
        data=st.data(), holder=st.sampled_from(["ann", "bob"]), most=st.sampled_from([1, 1, 2, 9]), lost=st.booleans()
    )
    def carry(self, data: st.DataObject, holder: str, most: int, lost: bool) -> None:
        """A carrier does the next items; perhaps another died, or the answer is lost and it does so again."""
        self.step(data.draw(st.sampled_from(self.actions.all)), holder, most, lost=lost)

    def step(self, action: Action, holder: str, most: int, *, lost: bool) -> None:
        """One step, or two."""
        for _ in range(1 + lost):
            found = self.do(self.book.ledger.bulk.step(action.id, action.verb, holder=holder, most=most))
            assert found.word.value == self.actions.step(action, holder, most)

    @precondition(lambda self: self.actions.all)
    @rule(data=st.data())
    def stop(self, data: st.DataObject) -> None:
        """An operator stops an action."""
        action = data.draw(st.sampled_from(self.actions.all))
        word = self.do(self.book.ledger.bulk.stop(action.id, "enough", audit=audit_of("stop action")))
        if action.is_open:
            self.actions.end(action, "stopped")
        assert word.value == action.state

    @precondition(lambda self: self.actions.all)
    @rule(data=st.data(), holder=holders)
    def resume_one(self, data: st.DataObject, holder: str) -> None:
        """An operator resumes an action that was stopped."""
        self.resume(data.draw(st.sampled_from(self.actions.all)), holder)

    def resume(self, action: Action, holder: str) -> None:
        """Resume it if it was stopped."""
        word = self.do(self.book.ledger.bulk.resume(action.id, holder=holder, audit=audit_of("resume action")))
        if action.state != "stopped":
            assert word.value == action.state
            return
        assert word is BulkWord.RESUMED
        action.state = "running"
        self.actions.carry(action, holder, self.book.clock.ms + CARRIED_MS)

    @precondition(lambda self: self.actions.recallable())
    @rule(
        data=st.data(),
        claimed=st.lists(references, unique=True),
        before=st.sampled_from([0, 1, 9]),
        after=st.sampled_from([0, 1, 9]),
    )
    def recall(self, data: st.DataObject, claimed: list[str], before: int, after: int) -> None:
        """An operator recalls an action that has come so far, while workers have claimed some of its items."""
        action = data.draw(st.sampled_from(self.actions.recallable()))
        if before:
            self.step(action, "ann", before, lost=False)
        for reference in claimed:
            self.claim(reference)
        self.recall_one(action)
        if after:
            self.step(self.actions.all[-1], "ann", after, lost=False)

    def recall_one(self, action: Action) -> None:
        """Recall it, twice, because the answer was lost."""
        found = self.do(self.book.ledger.bulk.recall(action.id, holder="", audit=audit_of("recall")))
        assert not isinstance(found, BulkWord)
        self.actions.recall(action, found)
        again = self.do(self.book.ledger.bulk.recall(action.id, holder="", audit=audit_of("recall")))
        assert again is BulkWord.RECALLED

    @rule()
    def inspect(self) -> None:
        """The inspection finds nothing in a ledger that nobody has damaged."""
        found = self.do(self.book.ledger.inspector.step(lease_s=LEASE_S))
        assert (found.agenda, found.index, found.stale, found.aside, found.unknown) == (0, 0, 0, 0, 0)

    @invariant()
    def compare(self) -> None:
        """Each group and each action is as the model says, and no item is lost or counted twice."""
        if self.groups.known or self.actions.all:
            self.do(self._compare())

    async def _compare(self) -> None:
        listed: Any = await self.book.redis.zrange(key_of("agenda"), 0, -1)
        assert {ref.decode() for ref in listed} == {one.reference for one in self.known() if one.state in UNFINISHED}
        for group, closure in zip(self.known(), await self.book.ledger.read(list(self.groups.known)), strict=True):
            assert closure is not None
            found = (closure.state, closure.entered_ms, closure.hold is not None)
            assert found == (group.state, group.entered, group.held)
            assert group.state is not State.FAILED or closure.reason is group.reason
        for action in self.actions.all:
            await self._compare_action(action)

    async def _compare_action(self, action: Action) -> None:
        found = await read(self.book, action.id)
        state = (found.state.value, found.changed, found.recalled, found.marked, found.left)
        assert state == (action.state, action.changed, action.recalled, action.marked, len(action.left))
        assert await self.book.ledger.bulk.not_done(action.id, 9) == action.not_done
        assert {name: number for name, number in found.became.items() if number} == dict(+action.became)
        assert sum(found.not_done.values()) == len(action.not_done)
        dropped = found.matched - found.changed - len(action.not_done) - found.left - found.marked
        assert dropped == 0 or action.state == "recalled"


def run(store: Callable[[], Redis], examples: int) -> None:
    """Try so many examples."""
    machine: Any = partial(BulkMachine, store)
    run_state_machine_as_test(machine, settings=settings(max_examples=max(examples, 1), stateful_step_count=50))


def test_on_a_real_store(store_url: str) -> None:
    """The model holds on a real Valkey. fakeredis would take minutes; the other tests of actions run on it, too."""

    def emptied() -> Redis:
        with sync_redis.Redis.from_url(store_url) as client:
            client.flushall()
        return Redis.from_url(store_url)

    run(emptied, settings().max_examples // 3)
